// Answers PING, as a line or as a RESP array, with "+PONG\r\n": what redis-benchmark -t ping sends.
// One shard on one thread, like the redis-server it is measured beside. Prints its port, ends on SIGTERM's default
// action.
//
//     ping_server        on any free port of 127.0.0.1
#include <cstdio>

#include "kernel/io/shard.h"
#include "kernel/io/stream.h"

namespace polis::io {
namespace {

using OwnedStream = std::unique_ptr<Stream>;

// Reads "<mark><number>\r\n" at `at` and moves behind it.
bool read_number(std::string_view input, char mark, size_t& at, size_t& number) {
  const size_t end = input.find("\r\n", at);
  if (end == std::string_view::npos || input[at] != mark) return false;
  number = 0;
  for (char digit : input.substr(at + 1, end - at - 1)) number = number * 10 + static_cast<size_t>(digit - '0');
  at = end + 2;
  return true;
}

// Answers the whole commands at the front of `input`; returns the bytes they take. redis-benchmark asks for the
// server's configuration first: an error contents it.
size_t answer(std::string_view input, std::string& output) {
  size_t used = 0;
  while (used < input.size()) {
    size_t at = used;
    std::string_view command;
    if (input[at] == '*') {
      size_t words = 0, length = 0;
      if (!read_number(input, '*', at, words)) return used;
      for (size_t word = 0; word < words; ++word) {
        if (at >= input.size() || !read_number(input, '$', at, length) || at + length + 2 > input.size()) return used;
        if (word == 0) command = input.substr(at, length);
        at += length + 2;
      }
    } else {
      const size_t end = input.find("\r\n", at);
      if (end == std::string_view::npos) return used;
      command = input.substr(at, end - at);
      at = end + 2;
    }
    output += command == "PING" ? "+PONG\r\n" : "-ERR unknown command\r\n";
    used = at;
  }
  return used;
}

Task<void> serve(OwnedStream stream) {
  std::array<std::byte, 16 * 1024> input;
  std::string output;
  size_t held = 0;
  while (true) {
    auto read = co_await stream->read_some(MutableBytes(input).subspan(held));
    if (!read) co_return;
    held += *read;
    output.clear();
    const size_t used = answer(as_text(BytesView(input).first(held)), output);
    std::memmove(input.data(), input.data() + used, held - used);
    held -= used;
    if (!output.empty() && !co_await stream->write(as_bytes(output))) co_return;
    if (held == input.size()) co_return;  // no command is this long
  }
}

Task<Result<void>> listen() {
  auto listener = CO_TRY(Listener::bind({.address = "127.0.0.1", .port = 0}));
  std::printf("%u\n", listener->local().port);
  std::fflush(stdout);
  TaskGroup group;
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) break;
    group.spawn(serve(std::move(*stream)));
  }
  co_await group.join();
  co_return {};
}

}  // namespace
}  // namespace polis::io

int main() {
  auto outcome = polis::io::run([] { return polis::io::listen(); });
  if (!outcome) std::fprintf(stderr, "%s\n", outcome.error().text().c_str());
  return outcome ? 0 : 1;
}
