// RabbitMQ streams over their own binary protocol (rabbitmq_stream's PROTOCOL.adoc), written here because Debian has no
// client for it: a publisher that collects messages as the official clients do (frames of at most 100 messages, by
// `linger`), and a subscriber that gives a credit for each chunk.
#include <arpa/inet.h>
#include <cstring>
#include <endian.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "load.h"

namespace load {
namespace {

enum Key : uint16_t {
  kDeclarePublisher = 1,
  kPublish = 2,
  kPublishConfirm = 3,
  kPublishError = 4,
  kSubscribe = 7,
  kDeliver = 8,
  kCredit = 9,
  kCreate = 13,
  kPeerProperties = 17,
  kSaslHandshake = 18,
  kSaslAuthenticate = 19,
  kTune = 20,
  kOpen = 21,
  kHeartbeat = 23,
};
constexpr uint16_t kResponse = 0x8000;
constexpr uint16_t kOk = 1, kStreamExists = 5;
constexpr size_t kMessagesOfFrame = 100;
constexpr size_t kChunkHeaderBytes = 48;

class Writer {
 public:
  explicit Writer(uint16_t key) {
    u32(0);
    u16(key);
    u16(1);
  }
  void u8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u16(uint16_t value) { put(htobe16(value)); }
  void u32(uint32_t value) { put(htobe32(value)); }
  void u64(uint64_t value) { put(htobe64(value)); }
  void text(const std::string& value) {
    u16(static_cast<uint16_t>(value.size()));
    bytes_ += value;
  }
  void data(const char* from, size_t size_bytes) {
    u32(static_cast<uint32_t>(size_bytes));
    bytes_.append(from, size_bytes);
  }
  const std::string& finish() {
    const uint32_t size = htobe32(static_cast<uint32_t>(bytes_.size() - 4));
    std::memcpy(bytes_.data(), &size, 4);
    return bytes_;
  }

 private:
  template <class T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string bytes_;
};

uint16_t u16_at(const char* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return be16toh(value);
}
uint32_t u32_at(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return be32toh(value);
}

class Connection {
 public:
  explicit Connection(const Options& options) : input_(4 << 20) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options.port));
    inet_pton(AF_INET, options.host.c_str(), &address.sin_addr);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("rabbitmq: connect");
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Writer properties(kPeerProperties);
    properties.u32(1);
    properties.u32(0);
    ask(properties, kPeerProperties);
    Writer handshake(kSaslHandshake);
    handshake.u32(2);
    ask(handshake, kSaslHandshake);
    Writer authenticate(kSaslAuthenticate);
    authenticate.u32(3);
    authenticate.text("PLAIN");
    const std::string plain("\0guest\0guest", 12);
    authenticate.data(plain.data(), plain.size());
    ask(authenticate, kSaslAuthenticate);
    std::string tune = expect(kTune);
    Writer tuned(kTune | kResponse);
    tuned.u32(u32_at(tune.data() + 4));
    tuned.u32(0);
    send(tuned.finish());
    Writer open(kOpen);
    open.u32(4);
    open.text("/");
    ask(open, kOpen);
  }
  ~Connection() { ::close(socket_); }

  void make_stream(const std::string& name) {
    Writer create(kCreate);
    create.u32(5);
    create.text(name);
    create.u32(0);
    send(create.finish());
    const uint16_t code = u16_at(expect(kCreate | kResponse).data() + 8);
    if (code != kOk && code != kStreamExists) give_up("rabbitmq: create stream: " + std::to_string(code));
  }
  void declare_publisher(const std::string& stream) {
    Writer declare(kDeclarePublisher);
    declare.u32(6);
    declare.u8(1);
    declare.text("");
    declare.text(stream);
    ask(declare, kDeclarePublisher);
  }
  void subscribe(const std::string& stream, bool all) {
    Writer subscribing(kSubscribe);
    subscribing.u32(7);
    subscribing.u8(1);
    subscribing.text(stream);
    subscribing.u16(all ? 1 : 3);
    subscribing.u16(10);
    subscribing.u32(0);
    ask(subscribing, kSubscribe);
  }
  void credit() {
    Writer one(kCredit);
    one.u8(1);
    one.u16(1);
    send(one.finish());
  }

  void send(const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::send(socket_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) give_up("rabbitmq: the connection broke");
      done += static_cast<size_t>(n);
    }
  }
  // The next frame without its size, in place until the next call; null after `wait_ms` without one.
  const char* receive(int wait_ms, size_t& size_bytes) {
    while (true) {
      if (filled_ - taken_ >= 4) {
        size_bytes = u32_at(input_.data() + taken_);
        if (filled_ - taken_ >= 4 + size_bytes) {
          const char* frame = input_.data() + taken_ + 4;
          taken_ += 4 + size_bytes;
          return frame;
        }
        if (4 + size_bytes > input_.size()) input_.resize(2 * (4 + size_bytes));
      }
      if (taken_ > 0) {
        std::memmove(input_.data(), input_.data() + taken_, filled_ - taken_);
        filled_ -= taken_;
        taken_ = 0;
      }
      pollfd waiting{socket_, POLLIN, 0};
      if (poll(&waiting, 1, wait_ms) <= 0) return nullptr;
      const ssize_t n = recv(socket_, input_.data() + filled_, input_.size() - filled_, 0);
      if (n <= 0) give_up("rabbitmq: the connection was closed");
      filled_ += static_cast<size_t>(n);
    }
  }

 private:
  std::string expect(uint16_t key) {
    while (true) {
      size_t size_bytes = 0;
      const char* frame = receive(10'000, size_bytes);
      if (!frame) give_up("rabbitmq: no answer");
      if (u16_at(frame) == key) return {frame, size_bytes};
    }
  }
  void ask(Writer& request, uint16_t key) {
    send(request.finish());
    const uint16_t code = u16_at(expect(key | kResponse).data() + 8);
    if (code != kOk) give_up("rabbitmq: request " + std::to_string(key) + " refused: " + std::to_string(code));
  }

  int socket_ = -1;
  std::vector<char> input_;
  size_t filled_ = 0, taken_ = 0;
};

// Publishes on one thread and takes the confirmations on another.
class Publisher {
 public:
  explicit Publisher(const Options& options) : options_(options), connection_(options) {
    connection_.make_stream(options.topic);
    connection_.declare_publisher(options.topic);
    confirmer_ = std::thread([this] { confirm(); });
  }
  ~Publisher() {
    stop_ = true;
    confirmer_.join();
  }
  void publish(const std::string& payload) {
    while (sent_ + count_ - answered_ >= static_cast<uint64_t>(options_.pending_max)) {
      const uint64_t answered = answered_;
      flush();
      if (sent_ - answered >= static_cast<uint64_t>(options_.pending_max)) answered_.wait(answered);
    }
    if (count_ == 0) began_ns_ = now_ns();
    messages_.u64(sent_ + count_);
    messages_.data(payload.data(), payload.size());
    ++count_;
    if (count_ >= kMessagesOfFrame) flush();
  }
  void flush_if_due() {
    if (count_ > 0 && static_cast<double>(now_ns() - began_ns_) >= options_.linger_ms * 1e6) flush();
  }
  void flush() {
    if (count_ == 0) return;
    Writer head(kPublish);
    head.u8(1);
    head.u32(static_cast<uint32_t>(count_));
    std::string frame = head.finish();
    frame.append(messages_.finish(), 8);
    const uint32_t size = htobe32(static_cast<uint32_t>(frame.size() - 4));
    std::memcpy(frame.data(), &size, 4);
    connection_.send(frame);
    sent_ += count_;
    count_ = 0;
    messages_ = Writer(0);
  }
  void wait_for_all() {
    flush();
    const uint64_t end = now_ns() + 60'000'000'000;
    while (answered_ < sent_ && now_ns() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  uint64_t confirmed() const { return answered_ - failed_; }
  uint64_t failed() const { return failed_; }

 private:
  void confirm() {
    while (!stop_) {
      size_t size_bytes = 0;
      const char* frame = connection_.receive(50, size_bytes);
      if (!frame) continue;
      const uint16_t key = u16_at(frame);
      if (key != kPublishConfirm && key != kPublishError) continue;
      if (key == kPublishError) failed_ += u32_at(frame + 5);
      answered_ += u32_at(frame + 5);
      answered_.notify_one();
    }
  }

  const Options& options_;
  Connection connection_;
  Writer messages_{0};
  uint64_t count_ = 0, began_ns_ = 0;
  std::atomic<uint64_t> sent_{0}, answered_{0}, failed_{0};
  std::atomic<bool> stop_{false};
  std::thread confirmer_;
};

Report produce(const Options& options) {
  std::atomic<uint64_t> confirmed{0}, failed{0};
  std::vector<std::thread> threads;
  const std::string payload(options.size_bytes, 'x');
  const uint64_t share = share_of(options);
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&] {
      Publisher publisher(options);
      for (uint64_t n = 0; n < share && (n % 64 != 0 || now_ns() < end); ++n) publisher.publish(payload);
      publisher.wait_for_all();
      confirmed += publisher.confirmed();
      failed += publisher.failed();
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = confirmed;
  report.failed = failed;
  report.seconds = static_cast<double>(now_ns() - begin) / 1e9;
  return report;
}

// Calls `take(data, size)` for each message of a chunk.
template <class F>
void messages_of(const char* frame, F take) {
  const char* chunk = frame + 5;  // behind key, version and subscription
  const uint16_t entries = u16_at(chunk + 2);
  const char* at = chunk + kChunkHeaderBytes;
  for (uint16_t i = 0; i < entries; ++i) {
    const uint32_t size_bytes = u32_at(at) & 0x7fffffff;
    take(at + 4, size_bytes);
    at += 4 + size_bytes;
  }
}

Report consume(const Options& options) {
  std::atomic<uint64_t> received{0}, finished_ns{0};
  std::vector<std::thread> threads;
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&] {
      Connection connection(options);
      connection.subscribe(options.topic, true);
      while (now_ns() < end && (options.messages == 0 || received < options.messages)) {
        size_t size_bytes = 0;
        const char* frame = connection.receive(100, size_bytes);
        if (!frame || u16_at(frame) != kDeliver) continue;
        uint64_t count = 0;
        messages_of(frame, [&](const char*, uint32_t) { ++count; });
        received += count;
        finished_ns = now_ns();
        connection.credit();
      }
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = received;
  report.seconds = static_cast<double>(finished_ns - begin) / 1e9;
  return report;
}

Report latency(const Options& options) {
  Report report;
  Publisher publisher(options);
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    Connection connection(options);
    connection.subscribe(options.topic, false);
    const uint64_t warm = now_ns() + 2'000'000'000;
    while (!stop) {
      size_t size_bytes = 0;
      const char* frame = connection.receive(50, size_bytes);
      if (!frame || u16_at(frame) != kDeliver) continue;
      const uint64_t now = now_ns();
      messages_of(frame, [&](const char* data, uint32_t) {
        uint64_t sent = 0;
        std::memcpy(&sent, data, sizeof sent);
        ++report.messages;
        if (sent > warm) report.latency_us.add((now - sent) / 1000);
      });
      connection.credit();
    }
  });
  std::string payload(options.size_bytes, 'x');
  const uint64_t begin = now_ns() + 1'000'000'000, end = begin + static_cast<uint64_t>((options.seconds + 1) * 1e9);
  for (uint64_t n = 0;; ++n) {
    const uint64_t due = begin + static_cast<uint64_t>(static_cast<double>(n) * 1e9 / options.rate);
    if (due >= end) break;
    while (now_ns() < due) {
      publisher.flush_if_due();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    std::memcpy(payload.data(), &due, sizeof due);
    publisher.publish(payload);
  }
  publisher.wait_for_all();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  stop = true;
  consumer.join();
  report.failed = publisher.failed();
  report.seconds = options.seconds;
  return report;
}

}  // namespace

Report run_rabbitmq(const Options& options) {
  if (options.work == "produce") return produce(options);
  if (options.work == "consume") return consume(options);
  if (options.work == "latency") return latency(options);
  give_up("unknown work " + options.work);
}

}  // namespace load
