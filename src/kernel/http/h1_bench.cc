// Parsing alone: the head of a browser's request (about 700 bytes) and a small one, in bytes a second.
#include <benchmark/benchmark.h>

#include "kernel/http/h1.h"

namespace polis::http::h1 {

std::expected<Progress, Rejection> feed_scalar(RequestParser& parser, BytesView received);

namespace {

const std::string kBrowser =
    "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n"
    "Host: www.kittyhell.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all; visited=20261121-20261120-20261119\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: none\r\n"
    "Cache-Control: max-age=0\r\n\r\n";
const std::string kSmall = "GET /1k HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

template <class Feed>
void parse(benchmark::State& state, const std::string& text, Feed feed) {
  RequestParser parser;
  for (auto _ : state) {
    parser.reset();
    auto progress = feed(parser, as_bytes(text));
    benchmark::DoNotOptimize(progress);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

auto by_best = [](RequestParser& parser, BytesView text) { return parser.feed(text); };

BENCHMARK_CAPTURE(parse, browser_head, kBrowser, by_best);
BENCHMARK_CAPTURE(parse, browser_head_scalar, kBrowser, feed_scalar);
BENCHMARK_CAPTURE(parse, small_head, kSmall, by_best);

}  // namespace
}  // namespace polis::http::h1
