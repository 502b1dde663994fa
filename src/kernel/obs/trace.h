// Traces: what one request did, layer by layer. A TraceContext is a value that goes from call to call as a parameter; a
// Span is a piece of work with a begin, an end and attributes; a Tracer keeps the spans of the latest traces in bounded
// memory, where the console finds them by id and draws the waterfall.
//
//   Span span = tracer.start(context, "PUT object");
//   span.attribute("size_bytes", size_bytes);
//   co_await blob.put(source, span.context());     // children hang below this span
//
// Ids and their text form are those of W3C Trace Context, so a client's trace goes on in polis.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"

namespace polis::obs {

// 16 bytes, not all zero.
struct TraceId {
  uint64_t high = 0;
  uint64_t low = 0;

  bool valid() const { return (high | low) != 0; }
  std::string text() const;  // 32 lower-case hex digits
  // kInvalid unless 32 lower-case hex digits, not all zero (§3.2.2.3).
  static Result<TraceId> parse(std::string_view text);
  friend auto operator<=>(const TraceId&, const TraceId&) = default;
};

// 8 bytes, not all zero; zero means "no span".
struct SpanId {
  uint64_t value = 0;

  bool valid() const { return value != 0; }
  std::string text() const;  // 16 lower-case hex digits
  friend auto operator<=>(const SpanId&, const SpanId&) = default;
};

// Where in which trace the present work is. Without a trace (the default) spans cost nothing and record nothing.
struct TraceContext {
  TraceId trace;
  SpanId span;           // the parent of what starts next
  bool sampled = false;  // spans are recorded

  // "00-<trace>-<span>-<flags>"; empty without a trace.
  std::string traceparent() const;
  // W3C Trace Context §3.2: version 00 exactly; later versions by their first four parts; ff, zero ids and upper case
  // are kInvalid.
  static Result<TraceContext> parse(std::string_view traceparent);
};

struct SpanRecord {
  TraceId trace;
  SpanId span;
  SpanId parent;  // not valid at the root
  std::string name;
  WallTime begin;
  Duration duration{};
  bool failed = false;
  std::vector<std::pair<std::string, std::string>> attributes;
};

class Tracer;

// Ends, and is recorded, at its destruction or at end(). Movable; one owner at a time, on any thread. The Tracer
// outlives it.
class Span {
 public:
  // What one span may keep; more is dropped, so that a loop cannot eat the memory.
  static constexpr size_t kAttributesMax = 16;
  static constexpr size_t kTextBytesMax = 256;  // of the name, of a key, of a value

  Span() = default;
  ~Span() { end(); }
  Span(Span&&) noexcept = default;
  Span& operator=(Span&& other) noexcept;

  // For the work below this span.
  const TraceContext& context() const { return context_; }
  bool recording() const { return record_ != nullptr; }
  void attribute(std::string_view key, std::string_view value);
  void attribute(std::string_view key, const char* value) { attribute(key, std::string_view(value)); }
  template <std::integral T>
  void attribute(std::string_view key, T value) {
    if (recording()) attribute(key, std::string_view(std::to_string(value)));
  }
  // Marks the span as failed and keeps the message as the attribute "error".
  void failed(const Error& error);
  void end();

 private:
  friend class Tracer;
  TraceContext context_;
  Tracer* tracer_ = nullptr;
  SteadyTime begin_{};
  std::unique_ptr<SpanRecord> record_;
};

// Thread-safe, by a short mutex taken once a recorded span.
class Tracer {
 public:
  struct Options {
    // 4,096 spans of at most 16 attributes, typically 400 bytes each: under 2 MB.
    size_t spans_max = 4096;
    size_t bytes_max = size_t{4} << 20;
    // Of requests that bring no trace of their own, one in so many is recorded; 0: none. What a client asks for always
    // is.
    uint32_t sample_one_in = 1;
  };

  // `clock` and `random` outlive the Tracer; `random` must be thread-safe (SystemRandom) if spans start on several
  // threads.
  Tracer(const Clock& clock, Random& random, Options options) : clock_(clock), random_(random), options_(options) {}

  // The beginning of a request. `traceparent` is the client's header, or empty; a malformed one starts a new trace
  // (§3.2.2.1).
  Span start_request(std::string_view traceparent, std::string_view name);
  // A piece of work inside `parent`.
  Span start(const TraceContext& parent, std::string_view name);

  // The spans of a trace that are still kept, in the order of their begin; empty if none.
  std::vector<SpanRecord> find(TraceId trace) const;
  // The root spans (or those whose parent is elsewhere) of the latest traces, newest first.
  std::vector<SpanRecord> recent(size_t traces_max) const;
  // How many spans had to make room.
  uint64_t spans_evicted() const;

 private:
  friend class Span;
  Span begin(TraceContext context, SpanId parent, std::string_view name);
  void keep(SpanRecord record);
  SpanId new_span_id();

  const Clock& clock_;
  Random& random_;
  Options options_;
  mutable std::mutex mutex_;
  std::deque<SpanRecord> spans_;  // in the order of their end
  size_t bytes_ = 0;
  uint64_t evicted_ = 0;
};

// A JSON array for the console: [{"trace","span","parent","name","begin_us","duration_us","failed","attributes":{}}],
// times since 1970 in microseconds.
std::string to_json(const std::vector<SpanRecord>& spans);

}  // namespace polis::obs
