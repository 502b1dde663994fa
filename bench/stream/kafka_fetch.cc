// Kafka's Fetch without a library: a reader that costs as little as that of rabbitmq.cc, so that the server is what is
// measured. It walks over every record and keeps nothing.
#include <arpa/inet.h>
#include <cstring>
#include <endian.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "load.h"

namespace load {
namespace {

constexpr int32_t kFetchBytes = 256 << 10;

template <class T>
T big(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (sizeof value == 2) return static_cast<T>(be16toh(static_cast<uint16_t>(value)));
  if constexpr (sizeof value == 4) return static_cast<T>(be32toh(static_cast<uint32_t>(value)));
  return static_cast<T>(be64toh(static_cast<uint64_t>(value)));
}

class Fetcher {
 public:
  Fetcher(const Options& options, int32_t partition) : topic_(options.topic), partition_(partition) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options.port));
    inet_pton(AF_INET, options.host.c_str(), &address.sin_addr);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("fetch: connect");
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    answer_.resize(kFetchBytes + (1 << 20));
  }
  ~Fetcher() { ::close(socket_); }

  // One fetch; the records that it brought.
  uint64_t fetch() {
    std::string body;
    const auto put = [&](auto value) {
      if constexpr (sizeof value == 2) value = htobe16(value);
      if constexpr (sizeof value == 4) value = htobe32(value);
      if constexpr (sizeof value == 8) value = htobe64(value);
      body.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    put(uint32_t{0});
    put(uint16_t{1});  // Fetch
    put(uint16_t{4});
    put(uint32_t{7});
    put(uint16_t{0xffff});  // no client id
    put(uint32_t{0xffffffff});
    put(uint32_t{100});
    put(uint32_t{1});
    put(uint32_t{kFetchBytes});
    body.push_back(0);
    put(uint32_t{1});
    put(static_cast<uint16_t>(topic_.size()));
    body += topic_;
    put(uint32_t{1});
    put(static_cast<uint32_t>(partition_));
    put(static_cast<uint64_t>(offset_));
    put(uint32_t{kFetchBytes});
    const uint32_t size = htobe32(static_cast<uint32_t>(body.size() - 4));
    std::memcpy(body.data(), &size, 4);
    if (::send(socket_, body.data(), body.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(body.size()))
      give_up("fetch: the connection broke");
    receive(4);
    const auto answer_bytes = static_cast<size_t>(big<int32_t>(answer_.data()));
    if (answer_bytes > answer_.size()) answer_.resize(answer_bytes);
    receive(answer_bytes);
    // correlation:i32 throttle:i32 topics:i32 { name partitions:i32 { index:i32 error:i16 high:i64 stable:i64
    // aborted:i32 ... records:i32 } }, of one topic and one partition
    const char* at = answer_.data() + 12;
    at += 2 + big<int16_t>(at) + 4 + 4;
    if (const auto error = big<int16_t>(at); error != 0) give_up("fetch: error " + std::to_string(error));
    at += 2 + 8 + 8;
    const auto aborted = big<int32_t>(at);
    at += 4 + (aborted > 0 ? aborted * 16 : 0);
    const auto records_bytes = big<int32_t>(at);
    return records_bytes > 0 ? walk(at + 4, at + 4 + records_bytes) : 0;
  }

 private:
  void receive(size_t size_bytes) {
    for (size_t filled = 0; filled < size_bytes;) {
      const ssize_t n = recv(socket_, answer_.data() + filled, size_bytes - filled, 0);
      if (n <= 0) give_up("fetch: the connection was closed");
      filled += static_cast<size_t>(n);
    }
  }
  uint64_t walk(const char* at, const char* end) {
    uint64_t records = 0;
    while (end - at > 61) {
      const char* batch_end = at + 12 + big<int32_t>(at + 8);
      if (batch_end > end) break;
      offset_ = big<int64_t>(at) + big<int32_t>(at + 23) + 1;
      const int32_t count = big<int32_t>(at + 57);
      const char* record = at + 61;
      for (int32_t i = 0; i < count && record < batch_end; ++i) {
        uint64_t length = 0;
        unsigned shift = 0;
        do length |= static_cast<uint64_t>(*record & 0x7f) << shift, shift += 7;
        while ((*record++ & 0x80) != 0 && record < batch_end);
        record += length >> 1;
        ++records;
      }
      at = batch_end;
    }
    return records;
  }

  const std::string topic_;
  const int32_t partition_;
  int socket_ = -1;
  int64_t offset_ = 0;
  std::vector<char> answer_;
};

}  // namespace

Report run_kafka_fetch(const Options& options) {
  if (options.work != "consume") give_up("kafka-fetch only consumes");
  std::atomic<uint64_t> received{0}, finished_ns{0};
  std::vector<std::thread> threads;
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&, i] {
      Fetcher fetcher(options, i % options.partitions);
      while (now_ns() < end && (options.messages == 0 || received < options.messages)) {
        const uint64_t records = fetcher.fetch();
        if (records > 0) finished_ns = now_ns();
        received += records;
      }
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = received;
  report.seconds = static_cast<double>(finished_ns - begin) / 1e9;
  return report;
}

}  // namespace load
