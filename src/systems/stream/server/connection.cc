#include "systems/stream/server/connection.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/obs/log.h"

namespace polis::stream {
namespace {

constexpr size_t kSizeBytes = 4;
// The smallest frame: api, version, correlation. Tokens of SASL may be shorter.
constexpr size_t kHeaderBytesMin = 8;
// Received of a frame before its client paused: kept apart, so that the block is free for others.
constexpr size_t kFewBytes = 256;
// What is read at first where a large frame is expected: enough for its size, little to copy.
constexpr size_t kPeekBytes = 4 << 10;

SteadyTime steady_now() {
  return io::Shard::current().clock().steady();
}

// A browser, or a probe that tries HTTP or TLS: worth a word in the log.
std::string_view foreign_protocol(BytesView begin) {
  static constexpr std::string_view kMethods[] = {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PRI "};
  const std::string_view text = as_text(begin).substr(0, kSizeBytes);
  if (std::ranges::any_of(kMethods, [&](std::string_view method) { return text == method; })) return "HTTP";
  if (text.size() == kSizeBytes && text[0] == 0x16 && text[1] == 0x03) return "TLS";
  return {};
}

size_t api_index(const ApiVersions* api) {
  return static_cast<size_t>(api - kApis);
}

}  // namespace

Metrics::Metrics(obs::Registry& registry)
    : connections(&registry.counter("polis_stream_connections", "Connections accepted.")),
      received_bytes(&registry.counter("polis_stream_received_bytes", "Bytes of requests received.")),
      sent_bytes(&registry.counter("polis_stream_sent_bytes", "Bytes of responses sent.")),
      broken(&registry.counter("polis_stream_broken",
                               "Connections that were closed because they brought what is no request.")),
      seconds(&registry.histogram("polis_stream_request_seconds",
                                  "From the end of a request to its response; long polls included.",
                                  obs::latency_bounds_seconds())) {
  for (const ApiVersions& api : kApis)
    requests[api_index(&api)] =
        &registry.counter("polis_stream_requests", "Requests answered.", {{"api", std::string(api.name)}});
}

struct Connection::Exchange {
  Exchange(Connection& connection, Frame frame_in, RequestHeader header_in)
      : frame(std::move(frame_in)),
        header(header_in),
        call{.parts = connection.shared_.parts,
             .session = connection.session_,
             .identity = connection.session_.identity,
             .version = header_in.api_version,
             .client_id = connection.client_id_,
             .externals = {}},
        since(steady_now()) {
    call.ordered = &ordered;
  }
  Frame frame;
  RequestHeader header;
  Call call;
  Answer answer;
  io::Event ordered;  // the next may begin
  const SteadyTime since;
  std::optional<Error> failure;  // of a request that is none; told when those before it are answered
  bool done = false;
};

Connection::Connection(Shared& shared, std::unique_ptr<io::Stream> stream, std::shared_ptr<const Identity> identity,
                       bool must_authenticate)
    : shared_(shared),
      stream_(std::move(stream)),
      pollable_([this]() -> io::PollableStream& {
        auto* pollable = io::pollable(*stream_);
        POLIS_ASSERT(pollable);
        return *pollable;
      }()),
      since_(steady_now()) {
  session_.identity = std::move(identity);
  session_.must_authenticate = must_authenticate;
  session_.local = stream_->local();
  session_.peer = stream_->peer();
}

Connection::~Connection() = default;

void Connection::drain() {
  session_.polls_end = true;
  if (session_.poll) session_.poll->stop();
  if (idle_scope_) idle_scope_->stop();
}

// Whoever waits for records on behalf of a client that has gone waits for nothing. What it sent before is still read.
Task<void> Connection::watch_peer() {
  if (!co_await stream_->peer_gone()) co_return;
  session_.polls_end = true;
  if (session_.poll) session_.poll->stop();
}

Task<void> Connection::serve() {
  io::TaskGroup watching(co_await io::this_scope());
  watching.spawn(watch_peer());
  io::TaskGroup tasks(co_await io::this_scope());
  tasks_ = &tasks;
  Result<void> served;
  while (served && !shared_.draining && !broken_ && !reading_ends_) {
    auto frame = co_await receive();
    if (!frame) {
      served = fail(std::move(frame).error());
    } else {
      served = co_await handle(std::move(*frame));
    }
  }
  co_await tasks.join();
  watching.stop();
  co_await watching.join();
  if (served && broken_) served = fail(*broken_);
  if (!served && (served.error().code() == Code::kInvalid || served.error().code() == Code::kDenied)) {
    if (shared_.metrics) shared_.metrics->broken->add();
    obs::log_info("a stream client was disconnected",
                  {{"peer", session_.peer.text()}, {"client", client_id_}, {"error", served.error()}});
  }
  stream_->close();
}

void Connection::fail_with(Error error) {
  if (!broken_) broken_ = std::move(error);
  if (idle_scope_) idle_scope_->stop();
}

// --- receiving

// Waits within a limit, and no longer than until the connection is to end.
Task<Result<void>> Connection::pause(Duration limit, Task<Result<void>> task) {
  if (shared_.draining) co_return fail(Code::kClosed, "the server ends");
  if (broken_) co_return fail(*broken_);
  io::Scope scope(co_await io::this_scope());
  idle_scope_ = &scope;
  auto done = co_await io::with_timeout<Result<void>>(limit, std::move(task)).within(scope);
  idle_scope_ = nullptr;
  co_return done;
}

Duration Connection::transfer_limit(uint64_t bytes) const {
  return shared_.options.transfer_max +
         std::chrono::milliseconds(bytes * 1000 / shared_.options.rate_min_bytes_per_second);
}

Result<size_t> Connection::frame_bytes(BytesView begin) const {
  const auto size = static_cast<int32_t>(base::load_big<uint32_t>(begin.data()));
  const bool proving = session_.must_authenticate && !session_.sasl.authenticated;
  const size_t most = proving ? kFrameBytesMaxBeforeAuthentication : shared_.options.frame_bytes_max;
  const bool too_small = size < 0 || (!session_.sasl.raw_tokens && static_cast<size_t>(size) < kHeaderBytesMin);
  if (too_small || static_cast<size_t>(size) > most) {
    const std::string_view foreign = foreign_protocol(begin);
    if (!foreign.empty())
      return fail(Code::kInvalid, fmt::format("this port speaks Kafka's protocol, not {}", foreign));
    return fail(Code::kInvalid, fmt::format("a frame of {} bytes; {} to {} are taken", size, kHeaderBytesMin, most));
  }
  return kSizeBytes + static_cast<size_t>(size);
}

// Room for `bytes` from begin_ on.
bool Connection::has_room(size_t bytes) const {
  return block_->capacity_bytes - begin_ >= bytes;
}

// A large block is promised as a whole before its first byte is read, so that nobody waits for more of it who holds a
// part; memory it becomes as bytes arrive.
Task<Result<void>> Connection::make_room(size_t bytes) {
  const size_t there = end_ - begin_;
  if (block_->capacity_bytes >= bytes && block_.use_count() == 1) {
    std::memmove(block_->bytes.get(), block_->bytes.get() + begin_, there);
  } else {
    Buffers::BlockPtr larger;
    if (bytes <= kSmallBlockBytes) {
      larger = shared_.buffers.take_small();
    } else {
      while (held_bytes_ > 0 && held_bytes_ + bytes > shared_.options.held_bytes_max) {
        left_.reset();
        CO_TRY(co_await left_.wait());
      }
      auto task = [](Buffers& buffers, size_t size, Buffers::BlockPtr& into) -> Task<Result<void>> {
        into = CO_TRY(co_await buffers.take_large(size));
        co_return {};
      };
      CO_TRY(co_await pause(shared_.options.idle_max, task(shared_.buffers, bytes, larger)));
      frame_since_ = steady_now();  // the wait was ours
    }
    std::memcpy(larger->bytes.get(), block_->bytes.get() + begin_, there);
    block_ = std::move(larger);
  }
  begin_ = 0;
  end_ = there;
  co_return {};
}

// Nothing is there: gives back what is not needed meanwhile and waits. `wanted_bytes`: of the frame that has begun.
Task<Result<void>> Connection::wait_readable(size_t wanted_bytes) {
  const bool idle = begin_ == end_;
  Duration limit = shared_.options.idle_max;
  if (session_.must_authenticate && !session_.sasl.authenticated)
    limit = std::min(limit, kAuthenticationTimeMax - (steady_now() - since_));
  if (idle) {
    block_.reset();
    frame_since_.reset();
  } else {
    if (!frame_since_) frame_since_ = steady_now();
    limit = std::min(limit, transfer_limit(wanted_bytes) - (steady_now() - *frame_since_));
    if (end_ - begin_ <= kFewBytes && block_->capacity_bytes == kSmallBlockBytes) {
      few_.assign(block_->bytes.get() + begin_, block_->bytes.get() + end_);
      block_.reset();
    }
  }
  if (limit <= Duration::zero()) co_return fail(Code::kTimeout, "a request did not arrive in time");
  CO_TRY(co_await pause(limit, pollable_.readable()));
  if (!block_) {
    block_ = shared_.buffers.take_small();
    std::ranges::copy(few_, block_->bytes.get());
    begin_ = 0;
    end_ = few_.size();
    few_ = {};
  }
  co_return {};
}

// KIP-219: who was told to wait is not heard until then.
Task<Result<void>> Connection::sit_out() {
  while (throttled_until_) {
    const Duration left = *throttled_until_ - steady_now();
    throttled_until_.reset();
    if (left > Duration::zero()) CO_TRY(co_await pause(left + std::chrono::seconds(1), io::sleep_for(left)));
  }
  co_return {};
}

Task<Result<Connection::Frame>> Connection::receive() {
  if (throttled_until_) CO_TRY(co_await sit_out());
  if (!block_) {
    block_ = shared_.buffers.take_small();
    begin_ = end_ = 0;
  }
  while (true) {
    size_t wanted = kSizeBytes;
    const size_t there = end_ - begin_;
    if (there >= kSizeBytes) {
      wanted = CO_TRY(frame_bytes(BytesView(block_->bytes.get() + begin_, kSizeBytes)));
      if (there >= wanted) {
        Frame frame{.bytes = BytesView(block_->bytes.get() + begin_ + kSizeBytes, wanted - kSizeBytes),
                    .block = block_};
        begin_ += wanted;
        large_before_ = block_->capacity_bytes > kSmallBlockBytes;
        if (begin_ == end_) block_.reset();
        frame_since_.reset();
        if (shared_.metrics) shared_.metrics->received_bytes->add(wanted);
        // The answer that throttles may have been given while this was read.
        if (throttled_until_) CO_TRY(co_await sit_out());
        co_return frame;
      }
    }
    if (!has_room(wanted)) CO_TRY(co_await make_room(wanted));
    size_t room = block_->capacity_bytes - end_;
    if (large_before_ && there == 0) room = std::min(room, kPeekBytes);
    const size_t n = CO_TRY(pollable_.try_read(MutableBytes(block_->bytes.get() + end_, room)));
    end_ += n;
    if (n == 0) CO_TRY(co_await wait_readable(wanted));
  }
}

// --- handling

// Requests that end with a wait for the disk: the next may begin once what they append has its place.
constexpr bool shares_syncs(int16_t api_key) {
  return api_key == MessageOf<ProduceRequest>::kApi.key || api_key == MessageOf<OffsetCommitRequest>::kApi.key;
}

Task<Result<void>> Connection::handle(Frame frame) {
  if (session_.sasl.raw_tokens) co_return co_await handle_token(frame);
  const RequestHeader header = CO_TRY(read_header(frame.bytes));
  if (!may_request(session_, header.api_key, steady_now()))
    co_return fail(Code::kDenied, fmt::format("{} before the client has proved who it is", api_name(header.api_key)));
  if (session_.identity && !session_.identity->plain_door && !co_await rights_are_current(shared_.parts, session_))
    co_return fail(Code::kDenied, "the client's user is gone");
  if (client_id_ != header.client_id) client_id_ = header.client_id;
  auto exchange = std::make_unique<Exchange>(*this, std::move(frame), header);
  if (header.api && shares_syncs(header.api_key)) co_return co_await handle_pipelined(std::move(exchange));
  // Nor while an answer is being written: two writes at once would mix.
  while (!under_way_.empty() || sending_) {
    left_.reset();
    CO_TRY(co_await left_.wait());
  }
  if (broken_) co_return fail(*broken_);
  co_return co_await handle_alone(*exchange);
}

// KIP-43: after a SaslHandshake of version 0 the tokens travel bare.
Task<Result<void>> Connection::handle_token(const Frame& frame) {
  const SaslReply reply = co_await sasl_token(shared_.parts, session_, frame.bytes);
  if (!reply.ok()) co_return fail(Code::kDenied, reply.message);
  std::byte size[kSizeBytes];
  base::store_big(size, static_cast<uint32_t>(reply.token.size()));
  const BytesView parts[] = {BytesView(size), BytesView(reply.token)};
  co_return co_await write(parts);
}

Task<Result<void>> Connection::answer(Exchange& exchange) {
  CO_TRY(co_await dispatch(exchange.call, exchange.header, exchange.answer));
  if (shared_.metrics) {
    if (exchange.header.api) shared_.metrics->requests[api_index(exchange.header.api)]->add();
    shared_.metrics->seconds->observe(steady_now() - exchange.since);
  }
  if (exchange.call.throttle > Duration::zero()) throttled_until_ = steady_now() + exchange.call.throttle;
  co_return {};
}

Task<Result<void>> Connection::handle_alone(Exchange& exchange) {
  CO_TRY(co_await answer(exchange));
  exchange.frame = {};
  CO_TRY(co_await send(exchange));
  if (exchange.call.close_after) co_return fail(Code::kClosed, "the answer was the last");
  co_return {};
}

Task<Result<void>> Connection::handle_pipelined(std::unique_ptr<Exchange> exchange) {
  const size_t bytes = exchange->frame.bytes.size();
  while (under_way_.size() >= shared_.options.pipelined_max ||
         (held_bytes_ > 0 && held_bytes_ + bytes > shared_.options.held_bytes_max)) {
    left_.reset();
    CO_TRY(co_await left_.wait());
  }
  if (broken_) co_return fail(*broken_);
  held_bytes_ += bytes;
  Exchange& begun = *under_way_.emplace_back(std::move(exchange));
  tasks_->spawn(run_pipelined(begun));
  co_return co_await begun.ordered.wait();
}

Task<void> Connection::run_pipelined(Exchange& exchange) {
  if (auto answered = co_await answer(exchange); !answered) {
    exchange.answer = {};
    exchange.failure = std::move(answered).error();
    reading_ends_ = true;
  }
  exchange.done = true;
  exchange.ordered.set();
  // Those that shared its sync are ready, too, and leave with it.
  if (sending_) co_return;
  sending_ = true;
  co_await io::yield();
  co_await send_finished();
  sending_ = false;
  left_.set();
}

Task<void> Connection::send_finished() {
  while (!under_way_.empty() && under_way_.front()->done) {
    std::vector<std::unique_ptr<Exchange>> finished;
    std::vector<BytesView> parts;
    while (!under_way_.empty() && under_way_.front()->done) {
      finished.push_back(std::move(under_way_.front()));
      under_way_.pop_front();
      if (finished.back()->failure) break;
      if (!finished.back()->answer.bytes.empty()) parts.push_back(finished.back()->answer.bytes);
    }
    if (!parts.empty() && !broken_) {
      if (auto written = co_await write(parts); !written) fail_with(std::move(written).error());
    }
    for (const auto& exchange : finished) {
      held_bytes_ -= exchange->frame.bytes.size();
      if (exchange->failure) fail_with(std::move(*exchange->failure));
      if (exchange->call.close_after) fail_with(Error(Code::kClosed, "the answer was the last"));
    }
    left_.set();
  }
}

// --- sending

Task<Result<void>> Connection::write(std::span<const BytesView> parts) {
  uint64_t bytes = 0;
  for (const BytesView part : parts) bytes += part.size();
  CO_TRY(co_await io::with_timeout<Result<void>>(transfer_limit(bytes), stream_->write(parts)));
  if (shared_.metrics) shared_.metrics->sent_bytes->add(bytes);
  co_return {};
}

Task<Result<void>> Connection::send(Exchange& exchange) {
  const Answer& answer = exchange.answer;
  const std::vector<External>& externals = exchange.call.externals;
  if (answer.bytes.empty()) co_return {};
  if (answer.splices.empty()) {
    const BytesView part = answer.bytes;
    co_return co_await write(std::span(&part, 1));
  }
  uint64_t external_bytes = 0;
  for (const Splice& splice : answer.splices) external_bytes += splice.size_bytes;
  if (external_bytes <= shared_.options.copy_bytes_max)
    co_return co_await send_copied(answer, externals, external_bytes);
  const uint64_t bytes = answer.bytes.size() + external_bytes;
  pollable_.cork(true);
  auto sent = co_await io::with_timeout<Result<void>>(transfer_limit(bytes), send_pieces(answer, externals));
  pollable_.cork(false);
  CO_TRY(std::move(sent));
  count_fetched(externals, false);
  if (shared_.metrics) shared_.metrics->sent_bytes->add(bytes);
  co_return {};
}

// What was made and what comes from elsewhere, in turn.
Task<Result<void>> Connection::send_pieces(const Answer& answer, const std::vector<External>& externals) {
  std::vector<BytesView> parts;
  size_t at = 0;
  for (const Splice& splice : answer.splices) {
    parts.push_back(BytesView(answer.bytes).subspan(at, splice.position - at));
    at = splice.position;
    const External& external = externals.at(splice.external);
    if (!external.file) {
      parts.push_back(external.bytes);
      continue;
    }
    CO_TRY(co_await stream_->write(parts));
    parts.clear();
    CO_TRY(co_await stream_->send_file(*external.file, external.range));
  }
  parts.push_back(BytesView(answer.bytes).subspan(at));
  co_return co_await stream_->write(parts);
}

Task<Result<void>> Connection::send_copied(const Answer& answer, const std::vector<External>& externals,
                                           size_t external_bytes) {
  Bytes whole;
  whole.reserve(answer.bytes.size() + external_bytes);
  size_t at = 0;
  for (const Splice& splice : answer.splices) {
    whole.insert(whole.end(), answer.bytes.begin() + static_cast<ptrdiff_t>(at),
                 answer.bytes.begin() + static_cast<ptrdiff_t>(splice.position));
    at = splice.position;
    const External& external = externals.at(splice.external);
    if (!external.file) {
      whole.insert(whole.end(), external.bytes.begin(), external.bytes.end());
      continue;
    }
    const size_t begin = whole.size();
    whole.resize(begin + external.range.size);
    const size_t read =
        CO_TRY(co_await external.file->read_at(external.range.offset, MutableBytes(whole).subspan(begin)));
    if (read != external.range.size) co_return fail(Code::kCorrupt, external.file->path() + " became shorter");
  }
  whole.insert(whole.end(), answer.bytes.begin() + static_cast<ptrdiff_t>(at), answer.bytes.end());
  const BytesView part = whole;
  CO_TRY(co_await write(std::span(&part, 1)));
  count_fetched(externals, true);
  co_return {};
}

void Connection::count_fetched(const std::vector<External>& externals, bool copied) {
  Meter* meter = shared_.parts.meter;
  if (!meter) return;
  for (const External& external : externals) {
    const bool through_memory = copied || !external.file || external.file->native_handle() < 0 || stream_->encrypted();
    meter->fetched(through_memory ? ReadPath::kCopy : ReadPath::kSendfile,
                   external.file ? external.range.size : external.bytes.size());
  }
}

}  // namespace polis::stream
