#include "kernel/http/request.h"

#include "kernel/base/text_encoding.h"
#include "kernel/http/uri.h"

namespace polis::http {

void Request::begin(Exchange& exchange, const RequestHead& head, uint64_t body_size_bytes_max,
                    const obs::TraceContext& trace) {
  exchange_ = &exchange;
  head_ = &head;
  body_size_bytes_max_ = body_size_bytes_max;
  trace_ = trace;
  param_count_ = 0;
  if (context.has_value()) context.reset();
}

std::string_view Request::param(std::string_view name) const {
  for (size_t i = 0; i < param_count_; ++i) {
    if (params_[i].name == name)
      return params_[i].decoded.empty() ? params_[i].raw : std::string_view(params_[i].decoded);
  }
  return {};
}

Result<void> Request::add_param(std::string_view name, std::string_view raw_value) {
  POLIS_ASSERT(param_count_ < kParamsMax);
  Param& param = params_[param_count_];
  param.name = name;
  param.raw = raw_value;
  param.decoded.clear();
  if (raw_value.find('%') != std::string_view::npos) param.decoded = TRY(base::url_decode(raw_value));
  ++param_count_;
  return {};
}

void Request::add_raw_param(std::string_view name, std::string_view value) {
  POLIS_ASSERT(param_count_ < kParamsMax);
  Param& param = params_[param_count_++];
  param.name = name;
  param.raw = value;
  param.decoded.clear();
}

Result<std::optional<std::string>> Request::query_value(std::string_view name) const {
  return http::query_value(query(), name);
}

std::optional<uint64_t> Request::content_length() const {
  if (head_->framing == Framing::kChunked) return std::nullopt;
  return head_->content_length;
}

Task<Result<Bytes>> Request::read_all(uint64_t size_bytes_max) {
  if (size_bytes_max > body_size_bytes_max_) size_bytes_max = body_size_bytes_max_;
  body_size_bytes_max_ = size_bytes_max;
  Bytes body;
  if (!has_body()) co_return body;
  // Never by the announced length alone: memory follows the bytes that really came, doubling.
  constexpr size_t kFirstStep = 16 * 1024;
  size_t known = content_length().value_or(kFirstStep);
  size_t filled = 0;
  for (;;) {
    if (filled == body.size()) {
      // Room for one byte more than a known length, so that the end is seen without growing again.
      size_t step = filled == 0 ? std::min(known + 1, 4 * kFirstStep) : filled;
      body.resize(filled + step);
    }
    size_t got = CO_TRY(co_await read(MutableBytes(body).subspan(filled)));
    if (got == 0) break;
    filled += got;
  }
  body.resize(filled);
  co_return body;
}

}  // namespace polis::http
