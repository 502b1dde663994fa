// Load for anything that answers FIX orders: one session over loopback, one order a message (35=D, resting limit
// orders), and the time until the first message that names it comes back. Open loop: the moments of sending are fixed
// before the first one, a late sender skips none, and latency counts from the intended moment. Closed loop for
// saturation alone.
//
//     fix_load PORT open|saturated|echo ORDERS RATE constant|poisson
//
// `echo`: open loop against a server that sends the bytes back: what the loopback and both sockets cost. Prints one
// line of JSON: latencies in ns, and beside them the largest gaps that a thread which only looks at the clock sees
// meanwhile.
#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/tcp.h>
#include <random>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr char kSeparator = '\x01';
constexpr size_t kWindow = 1024;               // outstanding, in closed loop
constexpr double kWarmUp = 0.1;                // of the orders are not counted
constexpr int64_t kRefused = 1;                // for the moment of an answer
constexpr int64_t kPatience = 20'000'000'000;  // without an answer

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::string utc() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  tm parts;
  gmtime_r(&t.tv_sec, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y%m%d-%H:%M:%S", &parts);
  return std::string(text) + ".000";
}

std::string framed(std::string_view inside) {
  std::string message = "8=FIX.4.4|9=" + std::to_string(inside.size()) + "|" + std::string(inside);
  for (char& c : message)
    if (c == '|') c = kSeparator;
  unsigned sum = 0;
  for (char c : message) sum += static_cast<unsigned char>(c);
  char tail[16];
  std::snprintf(tail, sizeof tail, "10=%03u\x01", sum % 256);
  return message + tail;
}

struct Orders {
  std::string bytes;
  std::vector<size_t> ends;  // of each message
};

// Numbers from 2 on: 1 is the Logon's. ClOrdIDs are counted from `first_id` on.
Orders make_orders(size_t count, uint64_t first_id) {
  Orders orders;
  orders.ends.reserve(count);
  const std::string time = utc();
  std::mt19937_64 random(7);
  for (size_t i = 0; i < count; ++i) {
    const unsigned long price = 9000 + random() % 900;
    char inside[256];
    const int size =
        std::snprintf(inside, sizeof inside,
                      "35=D|34=%zu|49=BRK1|52=%s|56=POLIS|11=%llu|38=%lu|40=2|44=%lu.%02lu|54=1|55=ABC|59=1|60=%s|",
                      i + 2, time.c_str(), static_cast<unsigned long long>(first_id + i), 1 + random() % 100,
                      price / 100, price % 100, time.c_str());
    orders.bytes += framed({inside, static_cast<size_t>(size)});
    orders.ends.push_back(orders.bytes.size());
  }
  return orders;
}

class Connection {
 public:
  explicit Connection(int port) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) give_up("connect");
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval patience{.tv_sec = kPatience / 1'000'000'000, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Connection() { close(fd_); }

  // What the socket takes now.
  size_t send_some(std::string_view bytes) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EAGAIN) give_up("send");
    return 0;
  }
  // Calls seen(message) for each whole message that is there. False: nothing was.
  template <class Seen>
  bool receive(Seen seen, bool wait) {
    if (held_ == buffer_.size()) give_up("a message without end");
    const ssize_t n = recv(fd_, buffer_.data() + held_, buffer_.size() - held_, wait ? 0 : MSG_DONTWAIT);
    if (n == 0) {
      std::fprintf(stderr, "the server has closed the connection\n");
      std::exit(1);
    }
    if (n < 0) {
      if (errno != EAGAIN) give_up("recv");
      return false;
    }
    held_ += static_cast<size_t>(n);
    size_t at = 0;
    while (const size_t size = whole_message({buffer_.data() + at, held_ - at})) {
      seen(std::string_view(buffer_.data() + at, size));
      at += size;
    }
    std::memmove(buffer_.data(), buffer_.data() + at, held_ - at);
    held_ -= at;
    return true;
  }

 private:
  // How long the message is that `bytes` begin with, by its BodyLength; 0: not all of it is there.
  static size_t whole_message(std::string_view bytes) {
    constexpr size_t kLengthAt = 12;  // behind "8=FIX.4.4|9="
    constexpr size_t kTrailer = 7;    // "10=000|"
    size_t length = 0, at = kLengthAt;
    while (at < bytes.size() && bytes[at] != kSeparator) length = length * 10 + static_cast<size_t>(bytes[at++] - '0');
    const size_t size = at + 1 + length + kTrailer;
    return size <= bytes.size() ? size : 0;
  }

  int fd_;
  std::vector<char> buffer_ = std::vector<char>(1 << 20);
  size_t held_ = 0;
};

// What an answer says of its order.
struct Answer {
  char type = 0;
  std::string_view order;  // 11, or 379 of a BusinessMessageReject
  char status = 0;
};

Answer read_answer(std::string_view message) {
  Answer answer;
  const char* at = message.data();
  const char* const end = at + message.size();
  while (at < end) {
    const auto* next = static_cast<const char*>(std::memchr(at, kSeparator, static_cast<size_t>(end - at)));
    if (next == nullptr) break;
    const std::string_view field(at, static_cast<size_t>(next - at));
    if (field.starts_with("35=") && field.size() > 3) answer.type = field[3];
    if (field.starts_with("11=")) answer.order = field.substr(3);
    if (field.starts_with("379=")) answer.order = field.substr(4);
    if (field.starts_with("39=") && field.size() > 3) answer.status = field[3];
    // Ascending: nothing behind these is asked for.
    if (answer.status != 0 && !answer.order.empty()) break;
    at = next + 1;
  }
  return answer;
}

void log_on(Connection& connection) {
  const std::string time = utc();
  const std::string logon = framed("35=A|34=1|49=BRK1|52=" + time + "|56=POLIS|98=0|108=3600|141=Y|");
  if (connection.send_some(logon) != logon.size()) give_up("logon");
  bool on = false;
  while (!on)
    connection.receive(
        [&](std::string_view message) {
          on = on || read_answer(message).type == 'A';
          if (!on) {
            std::fprintf(stderr, "no Logon but %.*s\n", static_cast<int>(message.size()), message.data());
            std::exit(1);
          }
        },
        true);
}

struct Outcome {
  std::vector<int64_t> latencies;
  double seconds = 0;
  size_t refused = 0;   // as busy; not among the latencies
  int64_t gap_max = 0;  // between two looks of this thread at the clock
};

int64_t percentile(const std::vector<int64_t>& sorted, double share) {
  return sorted.empty() ? 0 : sorted[std::min(sorted.size() - 1, static_cast<size_t>(sorted.size() * share))];
}

void print(const char* mode, Outcome& outcome) {
  std::sort(outcome.latencies.begin(), outcome.latencies.end());
  const auto& all = outcome.latencies;
  std::printf(
      "{\"mode\":\"%s\",\"orders\":%zu,\"refused\":%zu,\"seconds\":%.3f,\"per_second\":%.0f,\"p50\":%lld,\"p90\":%lld,"
      "\"p99\":%lld,"
      "\"p999\":%lld,\"max\":%lld,\"gap_max\":%lld}\n",
      mode, all.size(), outcome.refused, outcome.seconds, all.size() / outcome.seconds, (long long)percentile(all, 0.5),
      (long long)percentile(all, 0.9), (long long)percentile(all, 0.99), (long long)percentile(all, 0.999),
      (long long)(all.empty() ? 0 : all.back()), (long long)outcome.gap_max);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "fix_load PORT open|saturated|echo ORDERS RATE constant|poisson\n");
    return 2;
  }
  const std::string mode = argv[2];
  const size_t count = std::strtoull(argv[3], nullptr, 10);
  const double rate = std::strtod(argv[4], nullptr);
  const bool poisson = std::string_view(argv[5]) == "poisson";
  const bool saturated = mode == "saturated";

  Connection connection(std::atoi(argv[1]));
  if (mode != "echo") log_on(connection);
  // No ClOrdID twice a day, whatever ran before.
  const uint64_t first_id = static_cast<uint64_t>(time(nullptr)) * 1'000'000'000;
  const Orders orders = make_orders(count, first_id);
  std::vector<int64_t> intended(count), seen(count);
  std::mt19937_64 random(11);
  std::exponential_distribution<double> pause(1.0);
  double at = 0;
  for (size_t i = 0; i < count; ++i) {
    intended[i] = static_cast<int64_t>(at);
    at += (poisson ? pause(random) : 1.0) * 1e9 / rate;
  }

  Outcome outcome;
  size_t due = 0, answered = 0, sent_bytes = 0;
  const int64_t begin = now_ns() + 1'000'000;
  if (!saturated)
    for (int64_t& moment : intended) moment += begin;
  int64_t previous = begin, heard = begin;
  while (answered < count) {
    const int64_t now = now_ns();
    if (now > previous) outcome.gap_max = std::max(outcome.gap_max, now - previous);
    if (saturated) {
      while (due < count && due < answered + kWindow) intended[due++] = now;
    } else {
      while (due < count && intended[due] <= now) ++due;
    }
    const size_t until = due == 0 ? 0 : orders.ends[due - 1];
    if (sent_bytes < until)
      sent_bytes += connection.send_some(std::string_view(orders.bytes).substr(sent_bytes, until - sent_bytes));
    // The moment at which bytes were there is that of all messages in them. Saturated, nobody looks at the clock while
    // there is nothing to do: the server may have the processor.
    int64_t arrived = 0;
    const bool got = connection.receive(
        [&](std::string_view message) {
          if (arrived == 0) arrived = now_ns();
          const Answer answer = read_answer(message);
          // 35=j names the order that the venue had no room for as its reference.
          const bool busy = answer.type == 'j';
          uint64_t order = 0;
          std::from_chars(answer.order.data(), answer.order.data() + answer.order.size(), order);
          order -= first_id;
          if (order >= count || seen[order] != 0) return;
          if (answer.status == '8') {
            std::fprintf(stderr, "refused: %.*s\n", static_cast<int>(message.size()), message.data());
            std::exit(1);
          }
          seen[order] = busy ? kRefused : arrived;
          outcome.refused += busy;
          ++answered;
        },
        saturated && sent_bytes == until && due > answered);
    previous = now_ns();
    if (got) heard = previous;
    if (previous - heard > kPatience && previous > begin + kPatience) {
      std::fprintf(stderr, "no answer any more; %zu of %zu came\n", answered, count);
      return 1;
    }
  }
  const size_t first = static_cast<size_t>(count * kWarmUp);
  for (size_t i = first; i < count; ++i)
    if (seen[i] != kRefused) outcome.latencies.push_back(seen[i] - intended[i]);
  outcome.seconds = (*std::max_element(seen.begin(), seen.end()) - intended[first]) / 1e9;
  print(mode.c_str(), outcome);
  return 0;
}
