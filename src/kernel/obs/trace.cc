#include "kernel/obs/trace.h"

#include <algorithm>
#include <set>

#include "kernel/base/endian.h"
#include "kernel/base/text_encoding.h"
#include "kernel/obs/json_text.h"

namespace polis::obs {
namespace {

constexpr size_t kTraceparentSize = 55;  // "00-" 32 "-" 16 "-" 2

std::string hex_of(uint64_t value) {
  std::byte bytes[8];
  base::store_big(bytes, value);
  return base::hex_encode(bytes);
}

// Lower-case hex only, at most 16 digits; false if not.
bool parse_hex(std::string_view digits, uint64_t& value) {
  value = 0;
  for (char digit : digits) {
    int digit_value = base::hex_digit_value(digit);
    if (digit_value < 0 || (digit >= 'A' && digit <= 'F')) return false;
    value = value << 4 | static_cast<uint64_t>(digit_value);
  }
  return true;
}

size_t size_bytes(const SpanRecord& record) {
  size_t size = sizeof record + record.name.size();
  for (const auto& [key, value] : record.attributes)
    size += sizeof(std::pair<std::string, std::string>) + key.size() + value.size();
  return size;
}

int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

std::string TraceId::text() const {
  return hex_of(high) + hex_of(low);
}
std::string SpanId::text() const {
  return hex_of(value);
}

Result<TraceId> TraceId::parse(std::string_view text) {
  TraceId id;
  if (text.size() != 32 || !parse_hex(text.substr(0, 16), id.high) || !parse_hex(text.substr(16), id.low) ||
      !id.valid())
    return fail(Code::kInvalid, "a trace id is 32 lower-case hex digits, not all zero");
  return id;
}

std::string TraceContext::traceparent() const {
  if (!trace.valid()) return {};
  return "00-" + trace.text() + "-" + span.text() + (sampled ? "-01" : "-00");
}

Result<TraceContext> TraceContext::parse(std::string_view text) {
  auto malformed = [] {
    return fail(Code::kInvalid, "traceparent is not of the form 00-<trace id>-<parent id>-<flags>");
  };
  if (text.size() < kTraceparentSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return malformed();
  uint64_t version = 0, flags = 0;
  TraceContext context;
  if (!parse_hex(text.substr(0, 2), version) || version == 0xff) return malformed();
  if (version == 0 && text.size() != kTraceparentSize) return malformed();
  if (text.size() > kTraceparentSize && text[kTraceparentSize] != '-') return malformed();
  context.trace = TRY(TraceId::parse(text.substr(3, 32)));
  if (!parse_hex(text.substr(36, 16), context.span.value) || !context.span.valid()) return malformed();
  if (!parse_hex(text.substr(53, 2), flags)) return malformed();
  context.sampled = (flags & 1) != 0;
  return context;
}

Span& Span::operator=(Span&& other) noexcept {
  if (this == &other) return *this;
  end();
  context_ = other.context_;
  tracer_ = other.tracer_;
  begin_ = other.begin_;
  record_ = std::move(other.record_);
  return *this;
}

void Span::attribute(std::string_view key, std::string_view value) {
  if (!recording() || record_->attributes.size() >= kAttributesMax) return;
  record_->attributes.emplace_back(key.substr(0, kTextBytesMax), value.substr(0, kTextBytesMax));
}

void Span::failed(const Error& error) {
  if (!recording()) return;
  record_->failed = true;
  attribute("error", error.text());
}

void Span::end() {
  if (!recording()) return;
  record_->duration = tracer_->clock_.steady() - begin_;
  tracer_->keep(std::move(*record_));
  record_.reset();
}

Span Tracer::start_request(std::string_view traceparent, std::string_view name) {
  if (!traceparent.empty()) {
    if (Result<TraceContext> client = TraceContext::parse(traceparent)) return start(*client, name);
  }
  TraceContext context;
  context.sampled = options_.sample_one_in > 0 && random_.below(options_.sample_one_in) == 0;
  while (!context.trace.valid()) context.trace = {random_.next(), random_.next()};
  return begin(context, {}, name);
}

Span Tracer::start(const TraceContext& parent, std::string_view name) {
  if (!parent.trace.valid()) return {};
  return begin(parent, parent.span, name);
}

SpanId Tracer::new_span_id() {
  SpanId id;
  while (!id.valid()) id.value = random_.next();
  return id;
}

Span Tracer::begin(TraceContext context, SpanId parent, std::string_view name) {
  Span span;
  // What is not recorded keeps its place: the next service sees the caller's span as parent.
  context.span = context.sampled || !parent.valid() ? new_span_id() : parent;
  span.context_ = context;
  if (!context.sampled) return span;
  span.tracer_ = this;
  span.begin_ = clock_.steady();
  span.record_ = std::make_unique<SpanRecord>(SpanRecord{context.trace,
                                                         context.span,
                                                         parent,
                                                         std::string(name.substr(0, Span::kTextBytesMax)),
                                                         clock_.wall(),
                                                         {},
                                                         false,
                                                         {}});
  return span;
}

void Tracer::keep(SpanRecord record) {
  std::lock_guard lock(mutex_);
  bytes_ += size_bytes(record);
  spans_.push_back(std::move(record));
  while (!spans_.empty() && (spans_.size() > options_.spans_max || bytes_ > options_.bytes_max)) {
    bytes_ -= size_bytes(spans_.front());
    spans_.pop_front();
    ++evicted_;
  }
}

std::vector<SpanRecord> Tracer::find(TraceId trace) const {
  std::vector<SpanRecord> found;
  {
    std::lock_guard lock(mutex_);
    for (const SpanRecord& record : spans_)
      if (record.trace == trace) found.push_back(record);
  }
  // A parent begins no later than its children, and lasts longer than those that begin with it.
  std::ranges::sort(found, {}, [](const SpanRecord& record) { return std::pair(record.begin, -record.duration); });
  return found;
}

std::vector<SpanRecord> Tracer::recent(size_t traces_max) const {
  std::vector<SpanRecord> roots;
  std::lock_guard lock(mutex_);
  std::set<std::pair<TraceId, SpanId>> kept;
  for (const SpanRecord& record : spans_) kept.emplace(record.trace, record.span);
  std::set<TraceId> seen;
  for (auto record = spans_.rbegin(); record != spans_.rend() && roots.size() < traces_max; ++record)
    if (!kept.contains({record->trace, record->parent}) && seen.insert(record->trace).second) roots.push_back(*record);
  return roots;
}

uint64_t Tracer::spans_evicted() const {
  std::lock_guard lock(mutex_);
  return evicted_;
}

std::string to_json(const std::vector<SpanRecord>& spans) {
  std::string out = "[";
  for (const SpanRecord& record : spans) {
    if (out.size() > 1) out.push_back(',');
    out.append("{\"trace\":\"" + record.trace.text() + "\",\"span\":\"" + record.span.text() + "\",\"parent\":");
    out.append(record.parent.valid() ? "\"" + record.parent.text() + "\"" : "null");
    out.append(",\"name\":");
    append_json_text(out, record.name);
    out.append(",\"begin_us\":" + std::to_string(microseconds(record.begin.time_since_epoch())));
    out.append(",\"duration_us\":" + std::to_string(microseconds(record.duration)));
    out.append(record.failed ? ",\"failed\":true" : ",\"failed\":false").append(",\"attributes\":{");
    bool first = true;
    for (const auto& [key, value] : record.attributes) {
      if (!std::exchange(first, false)) out.push_back(',');
      append_json_text(out, key);
      out.push_back(':');
      append_json_text(out, value);
    }
    out.append("}}");
  }
  return out + "]";
}

}  // namespace polis::obs
