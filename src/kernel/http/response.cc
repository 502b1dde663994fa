#include "kernel/http/response.h"

#include "kernel/http/h1.h"
#include "kernel/http/h1_head.h"

namespace polis::http {
namespace {

// The carrier owns these lines.
bool written_by_carrier(Field id) {
  return id == Field::kContentLength || id == Field::kTransferEncoding || id == Field::kConnection ||
         id == Field::kKeepAlive || id == Field::kProxyConnection;
}

// Removes the lines of a name from serialized fields.
void remove_lines(std::string& lines, std::string_view name) {
  for (size_t at = 0; at < lines.size();) {
    size_t end = lines.find('\n', at) + 1;
    size_t colon = lines.find(':', at);
    if (equal_ignoring_case(std::string_view(lines).substr(at, colon - at), name)) {
      lines.erase(at, end - at);
    } else {
      at = end;
    }
  }
}

}  // namespace

void Response::begin(Exchange& exchange) {
  exchange_ = &exchange;
  status_ = 200;
  status_set_ = started_ = finished_ = broken_ = close_ = false;
  content_length_.reset();
  lines_.clear();
  trailer_lines_.clear();
  present_.reset();
}

Response& Response::status(int code) {
  POLIS_ASSERT(code >= 200 && code <= 999);
  status_ = code;
  status_set_ = true;
  return *this;
}

Response& Response::set(std::string_view name, std::string_view value) {
  Field id = field_of(name);
  if (id == Field::kOther || present_[static_cast<size_t>(id)]) remove_lines(lines_, name);
  return add(name, value);
}

Response& Response::add(std::string_view name, std::string_view value) {
  if (started_) return *this;
  if (!h1::valid_field_name(name) || !h1::valid_field_value(value)) {
    broken_ = true;
    return *this;
  }
  Field id = field_of(name);
  if (written_by_carrier(id)) {
    uint64_t length = 0;
    if (id == Field::kContentLength && h1::detail::parse_decimal(value, length)) content_length_ = length;
    if (id == Field::kConnection && equal_ignoring_case(value, "close")) close_ = true;
    return *this;
  }
  if (id != Field::kOther) present_.set(static_cast<size_t>(id));
  h1::append_field(lines_, name, trim_blanks(value));
  return *this;
}

Response& Response::remove(std::string_view name) {
  Field id = field_of(name);
  if (id == Field::kContentLength) content_length_.reset();
  if (id != Field::kOther && !present_[static_cast<size_t>(id)]) return *this;
  remove_lines(lines_, name);
  if (id != Field::kOther) present_.reset(static_cast<size_t>(id));
  return *this;
}

Response& Response::content_length(uint64_t size_bytes) {
  content_length_ = size_bytes;
  return *this;
}

Response& Response::close() {
  close_ = true;
  return *this;
}

Response& Response::trailer(std::string_view name, std::string_view value) {
  Field id = field_of(name);
  // Fields that frame or route a message may not come behind it (RFC 9110 §6.5.1).
  if (!h1::valid_field_name(name) || !h1::valid_field_value(value) || written_by_carrier(id) || id == Field::kHost) {
    broken_ = true;
    return *this;
  }
  h1::append_field(trailer_lines_, name, trim_blanks(value));
  return *this;
}

Task<Result<void>> Response::send(BytesView body) {
  return exchange_->write_response(body, true);
}

Task<Result<void>> Response::send(std::string_view content_type, std::string_view body) {
  set(Field::kContentType, content_type);
  return exchange_->write_response(as_bytes(body), true);
}

Task<Result<void>> Response::error(const Error& error) {
  return exchange_->write_error(status_of(error.code()), error.message());
}

void Response::clear_body_fields(int error_status) {
  for (Field id : {Field::kContentType, Field::kContentEncoding, Field::kContentLanguage, Field::kContentDisposition,
                   Field::kEtag, Field::kLastModified, Field::kCacheControl, Field::kExpires}) {
    remove(id);
  }
  if (error_status != 416) remove(Field::kContentRange);
  content_length_.reset();
  trailer_lines_.clear();
}

void Response::clear_broken() {
  broken_ = false;
  lines_.clear();
  trailer_lines_.clear();
  present_.reset();
  content_length_.reset();
}

}  // namespace polis::http
