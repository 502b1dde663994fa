// s3_load --method PUT|GET --port N --path /bucket/prefix [--name value]...: load on an HTTP or S3 server, by one
// thread and many connections, signed (SigV4, payload hash) when --access is given. Prints one line of JSON.
//
// PUT goes through the keys path%08d from --first on, one after the other, each of --size bytes, or of sizes between
// --size and --size-max that are even on a logarithmic scale; GET picks one of --keys at random, or asks for the path
// itself when --keys is 0. With --query all requests have that query (its names in order); with --after PREFIX a
// listing begins behind PREFIX%08d at random. As cheap as it can be: the body is one buffer, its hash is computed once
// (sizes that differ go unhashed), and what comes back is counted and dropped.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <netinet/tcp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <random>
#include <string>
#include <string_view>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

namespace {

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "s3_load: %s\n", what.c_str());
  std::exit(1);
}

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](timeval time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

struct Options {
  std::string method = "GET", path = "/", query, after, access, secret;
  int port = 0, connections = 16;
  double seconds = 0;
  uint64_t requests = 0;  // 0: as many as fit the seconds
  uint64_t size_bytes = 0, size_bytes_max = 0, keys = 0, first = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--method")
      options.method = value;
    else if (name == "--port")
      options.port = std::stoi(value);
    else if (name == "--path")
      options.path = value;
    else if (name == "--query")
      options.query = value;
    else if (name == "--access")
      options.access = value;
    else if (name == "--secret")
      options.secret = value;
    else if (name == "--connections")
      options.connections = std::stoi(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--requests")
      options.requests = std::stoull(value);
    else if (name == "--size")
      options.size_bytes = std::stoull(value);
    else if (name == "--size-max")
      options.size_bytes_max = std::stoull(value);
    else if (name == "--keys")
      options.keys = std::stoull(value);
    else if (name == "--first")
      options.first = std::stoull(value);
    else if (name == "--after")
      options.after = value;
    else
      give_up("unknown option " + name);
  }
  if (argc % 2 == 0 || options.port <= 0 || options.connections <= 0 || (options.seconds <= 0 && options.requests == 0))
    give_up(
        "usage: s3_load --method PUT|GET --port N --path /BUCKET/PREFIX --seconds S|--requests N [--name value]...");
  return options;
}

using Digest = std::array<unsigned char, 32>;

std::string hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Digest sha256(std::string_view bytes) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

Digest hmac(std::string_view key, std::string_view text) {
  Digest digest;
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), digest.data(), &size);
  return digest;
}

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// Writes the head of a request; keeps what does not change from one to the next.
class Requests {
 public:
  Requests(const Options& options, std::string_view body)
      : options_(options),
        host_("127.0.0.1:" + std::to_string(options.port)),
        payload_hash_(options.access.empty()   ? ""
                      : options.size_bytes_max ? "UNSIGNED-PAYLOAD"
                                               : hex(sha256(body))) {}

  std::string head(const std::string& path, const std::string& query, size_t body_bytes) {
    std::string text =
        options_.method + " " + path + (query.empty() ? "" : "?" + query) + " HTTP/1.1\r\nHost: " + host_ + "\r\n";
    if (options_.method == "PUT") text += "Content-Length: " + std::to_string(body_bytes) + "\r\n";
    if (!options_.access.empty()) sign(text, path, query);
    return text += "\r\n";
  }

 private:
  void sign(std::string& text, const std::string& path, const std::string& query) {
    const time_t second = std::time(nullptr);
    if (second != second_) {
      second_ = second;
      tm utc{};
      gmtime_r(&second, &utc);
      char stamp[32];
      std::strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
      stamp_ = stamp;
      const std::string day = stamp_.substr(0, 8);
      scope_ = day + "/us-east-1/s3/aws4_request";
      key_ = hmac("AWS4" + options_.secret, day);
      for (std::string_view part : {"us-east-1", "s3", "aws4_request"}) key_ = hmac(view(key_), part);
    }
    static constexpr std::string_view kSigned = "host;x-amz-content-sha256;x-amz-date";
    std::string canonical = options_.method + "\n" + path + "\n" + query + "\nhost:" + host_ +
                            "\nx-amz-content-sha256:" + payload_hash_ + "\nx-amz-date:" + stamp_ + "\n\n";
    canonical += kSigned;
    canonical += "\n" + payload_hash_;
    const std::string to_sign = "AWS4-HMAC-SHA256\n" + stamp_ + "\n" + scope_ + "\n" + hex(sha256(canonical));
    text += "x-amz-date: " + stamp_ + "\r\nx-amz-content-sha256: " + payload_hash_ +
            "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" + options_.access + "/" + scope_ + ", SignedHeaders=";
    text += kSigned;
    text += ", Signature=" + hex(hmac(view(key_), to_sign)) + "\r\n";
  }

  const Options& options_;
  const std::string host_, payload_hash_;
  time_t second_ = 0;
  std::string stamp_, scope_;
  Digest key_{};
};

// Reads one answer from pieces of any size: its status, and when it is over.
class Answer {
 public:
  void begin() { *this = Answer(); }
  int status() const { return status_; }
  uint64_t body_bytes() const { return body_bytes_; }
  bool done() const { return done_; }
  bool keeps_open() const { return !close_; }
  const std::string& beginning() const { return beginning_; }

  void add(std::string_view bytes) {
    while (!bytes.empty() && !done_) {
      if (!in_body_) {
        const size_t old = head_.size();
        head_.append(bytes.substr(0, std::min<size_t>(bytes.size(), kHeadMax)));
        const size_t end = head_.find("\r\n\r\n", old < 3 ? 0 : old - 3);
        if (end == std::string::npos) {
          if (head_.size() > kHeadMax) give_up("an answer's head is too long");
          return;
        }
        bytes.remove_prefix(end + 4 - old);
        head_.resize(end + 2);
        read_head();
        continue;
      }
      if (beginning_.size() < 300) beginning_.append(bytes.substr(0, 300 - beginning_.size()));
      if (left_ == 0) {  // chunked: a line with a size; 0 is the last, and nobody here sends trailers
        const size_t end = bytes.find('\n');
        line_.append(bytes.substr(0, end == std::string_view::npos ? bytes.size() : end));
        if (end == std::string_view::npos) return;
        bytes.remove_prefix(end + 1);
        while (!line_.empty() && line_.back() == '\r') line_.pop_back();
        if (line_.empty()) {
          done_ = last_chunk_;
          continue;
        }
        if (std::from_chars(line_.data(), line_.data() + line_.size(), left_, 16).ec != std::errc())
          give_up("a chunk without a size: " + line_);
        last_chunk_ = left_ == 0;
        line_.clear();
        continue;
      }
      const uint64_t taken = std::min<uint64_t>(left_, bytes.size());
      left_ -= taken;
      body_bytes_ += taken;
      bytes.remove_prefix(taken);
      if (left_ == 0 && !chunked_) done_ = true;
    }
  }

 private:
  static constexpr size_t kHeadMax = 16 * 1024;

  void read_head() {
    if (head_.size() < 13) give_up("an answer without a status: " + head_);
    status_ = std::atoi(head_.c_str() + 9);
    for (size_t at = head_.find("\r\n") + 2; at < head_.size();) {
      const size_t end = head_.find("\r\n", at);
      const char* line = head_.c_str() + at;
      if (strncasecmp(line, "content-length:", 15) == 0) left_ = std::strtoull(line + 15, nullptr, 10);
      if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) chunked_ = true;
      if (strncasecmp(line, "connection: close", 17) == 0) close_ = true;
      at = end + 2;
    }
    in_body_ = true;
    done_ = left_ == 0 && !chunked_;
  }

  std::string head_, line_, beginning_;
  int status_ = 0;
  uint64_t left_ = 0, body_bytes_ = 0;
  bool in_body_ = false, chunked_ = false, last_chunk_ = false, close_ = false, done_ = false;
};

struct Connection {
  int socket = -1;
  std::string head;
  size_t body_bytes = 0;
  size_t sent = 0;  // of head and body
  uint64_t begun_ns = 0;
  Answer answer;
  bool busy = false, waits_to_write = false;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), body_(random_body(options)), requests_(options, body_) {
    connections_.resize(static_cast<size_t>(options.connections));
    epoll_ = epoll_create1(0);
  }

  void run() {
    begun_ns_ = now_ns();
    end_ns_ = options_.seconds > 0 ? begun_ns_ + static_cast<uint64_t>(options_.seconds * 1e9) : UINT64_MAX;
    for (auto& connection : connections_) {
      open(connection);
      next(connection);
    }
    std::array<epoll_event, 256> events;
    while (busy_ > 0) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), 30'000);
      if (count == 0) give_up("no answer for 30 s");
      for (int i = 0; i < count; ++i) {
        auto& connection = connections_[events[i].data.u64];
        if (events[i].events & EPOLLOUT) write(connection);
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) read(connection);
      }
    }
    last_ns_ = now_ns();
  }

  void print() {
    std::sort(latencies_us_.begin(), latencies_us_.end());
    const auto at = [&](double share) -> unsigned {
      if (latencies_us_.empty()) return 0;
      return latencies_us_[std::min(latencies_us_.size() - 1,
                                    static_cast<size_t>(static_cast<double>(latencies_us_.size()) * share))];
    };
    std::printf(
        "{\"requests\": %zu, \"failed\": %llu, \"bytes\": %llu, \"seconds\": %.4f, \"client_cpu_seconds\": %.3f, "
        "\"latency_us\": {\"p50\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u}}\n",
        latencies_us_.size(), static_cast<unsigned long long>(failed_), static_cast<unsigned long long>(bytes_),
        static_cast<double>(last_ns_ - begun_ns_) / 1e9, cpu_seconds(), at(0.5), at(0.99), at(0.999), at(1));
    if (failed_) std::fprintf(stderr, "s3_load: the first failure: %s\n", failure_.c_str());
  }

 private:
  static std::string random_body(const Options& options) {
    std::string body(options.method == "PUT" ? std::max(options.size_bytes, options.size_bytes_max) : 0, '\0');
    std::mt19937_64 random(7);
    for (char& byte : body) byte = static_cast<char>(random());
    return body;
  }

  void open(Connection& connection) {
    connection.socket = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      give_up("connect: " + std::string(std::strerror(errno)));
    const int on = 1;
    setsockopt(connection.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection.waits_to_write = false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<uint64_t>(&connection - connections_.data());
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event);
  }

  void next(Connection& connection) {
    connection.begun_ns = now_ns();
    if (connection.begun_ns >= end_ns_ || (options_.requests != 0 && started_ >= options_.requests)) return;
    std::string path = options_.path, query = options_.query;
    if (options_.method == "PUT") {
      path += number(options_.first + started_);
    } else if (!options_.after.empty()) {
      query += "&start-after=" + encoded(options_.after + number(random_() % options_.keys));
    } else if (options_.keys > 0) {
      path += number(options_.first + random_() % options_.keys);
    }
    ++started_;
    ++busy_;
    connection.busy = true;
    connection.body_bytes = body_.size();
    if (options_.size_bytes_max > 0) {
      const double share = std::uniform_real_distribution<double>()(random_);
      const double ratio = static_cast<double>(options_.size_bytes_max) / static_cast<double>(options_.size_bytes);
      connection.body_bytes = static_cast<size_t>(static_cast<double>(options_.size_bytes) * std::pow(ratio, share));
    }
    connection.head = requests_.head(path, query, connection.body_bytes);
    connection.sent = 0;
    connection.answer.begin();
    write(connection);
  }

  void write(Connection& connection) {
    const size_t all = connection.head.size() + connection.body_bytes;
    while (connection.sent < all) {
      std::array<iovec, 2> parts{};
      int count = 0;
      if (connection.sent < connection.head.size())
        parts[count++] = {connection.head.data() + connection.sent, connection.head.size() - connection.sent};
      const size_t body_at = connection.sent - std::min(connection.sent, connection.head.size());
      if (body_at < connection.body_bytes)
        parts[count++] = {body_.data() + body_at, std::min<size_t>(connection.body_bytes - body_at, size_t{1} << 20)};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = static_cast<size_t>(count);
      const ssize_t sent = sendmsg(connection.socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        if (errno == EAGAIN) break;
        give_up("send: " + std::string(std::strerror(errno)));
      }
      connection.sent += static_cast<size_t>(sent);
    }
    if ((connection.sent < all) == connection.waits_to_write) return;
    connection.waits_to_write = connection.sent < all;
    epoll_event event{};
    event.events = EPOLLIN | (connection.waits_to_write ? uint32_t{EPOLLOUT} : 0);
    event.data.u64 = static_cast<uint64_t>(&connection - connections_.data());
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event);
  }

  void read(Connection& connection) {
    const ssize_t got = recv(connection.socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      if (connection.busy) give_up("the server closed a connection within a request");
      close(connection.socket);
      return;
    }
    connection.answer.add({buffer_.data(), static_cast<size_t>(got)});
    if (!connection.answer.done()) return;
    const bool is_whole =
        options_.method != "GET" || options_.size_bytes == 0 || connection.answer.body_bytes() == options_.size_bytes;
    if (connection.answer.status() / 100 != 2 || !is_whole) {
      if (failed_++ == 0) failure_ = std::to_string(connection.answer.status()) + " " + connection.answer.beginning();
    }
    latencies_us_.push_back(
        static_cast<uint32_t>(std::min<uint64_t>(UINT32_MAX, (now_ns() - connection.begun_ns) / 1000)));
    bytes_ += connection.answer.body_bytes() + connection.body_bytes;
    --busy_;
    connection.busy = false;
    if (!connection.answer.keeps_open()) {
      close(connection.socket);
      open(connection);
    }
    next(connection);
  }

  static std::string number(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "%08llu", static_cast<unsigned long long>(value));
    return text;
  }
  static std::string encoded(const std::string& key) {
    std::string text;
    for (char c : key) c == '/' ? text += "%2F" : text += c;
    return text;
  }

  const Options& options_;
  std::string body_;
  Requests requests_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> latencies_us_;
  std::vector<char> buffer_ = std::vector<char>(size_t{256} << 10);
  std::mt19937_64 random_{11};
  std::string failure_;
  uint64_t started_ = 0, busy_ = 0, failed_ = 0, bytes_ = 0;
  uint64_t begun_ns_ = 0, end_ns_ = 0, last_ns_ = 0;
  int epoll_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Load load(options);
  load.run();
  load.print();
}
