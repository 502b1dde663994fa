#include "kernel/http/h1_head.h"

namespace polis::http::h1 {
namespace {

constexpr std::string_view kClause = "RFC 9112 7.1";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// chunk-ext = *( ";" name [ "=" ( token / quoted-string ) ] ), without blanks around the marks.
enum : uint8_t { kNameBegin, kName, kValueBegin, kValue, kQuoted, kEscaped, kQuoteEnd };

}  // namespace

void ChunkDecoder::reset() {
  trailers_.clear();
  trailer_text_.clear();
  phase_ = Phase::kSize;
  digits_ = extension_state_ = line_match_ = 0;
  remaining_ = offset_ = 0;
  extension_bytes_ = 0;
}

std::unexpected<Rejection> ChunkDecoder::reject(std::string_view rule) {
  phase_ = Phase::kRejected;
  rejection_ = {400, rule, kClause, offset_};
  return std::unexpected(rejection_);
}

void ChunkDecoder::skip(uint64_t size_bytes) {
  POLIS_ASSERT(phase_ == Phase::kData && size_bytes <= remaining_);
  remaining_ -= size_bytes;
  offset_ += size_bytes;
  if (remaining_ == 0) phase_ = Phase::kDataCr;
}

bool ChunkDecoder::extension(char c) {
  auto byte = static_cast<unsigned char>(c);
  switch (extension_state_) {
    case kNameBegin:
    case kValueBegin:
      if (extension_state_ == kValueBegin && c == '"') {
        extension_state_ = kQuoted;
        return true;
      }
      ++extension_state_;
      return scan::is_token_char(byte);
    case kName:
    case kValue:
    case kQuoteEnd:
      if (c == ';') {
        extension_state_ = kNameBegin;
        return true;
      }
      if (c == '=' && extension_state_ == kName) {
        extension_state_ = kValueBegin;
        return true;
      }
      return extension_state_ != kQuoteEnd && scan::is_token_char(byte);
    case kQuoted:
      if (c == '"') extension_state_ = kQuoteEnd;
      if (c == '\\') extension_state_ = kEscaped;
      return scan::is_value_char(byte);
    case kEscaped:
      extension_state_ = kQuoted;
      return scan::is_value_char(byte);
    default:
      return false;
  }
}

std::expected<ChunkDecoder::Step, Rejection> ChunkDecoder::feed(BytesView input) {
  const char* const base = reinterpret_cast<const char*>(input.data());
  size_t i = 0;
  for (; i < input.size(); ++i, ++offset_) {
    char c = base[i];
    switch (phase_) {
      case Phase::kSize: {
        int digit = hex_value(c);
        if (digit >= 0) {
          if (++digits_ > 16) return reject("a chunk size has more than 16 digits");
          // The top bit stays free: sizes add up in 64 bits elsewhere.
          if (remaining_ >> 59) return reject("a chunk size is too large");
          remaining_ = remaining_ << 4 | static_cast<uint64_t>(digit);
        } else if (digits_ == 0) {
          return reject("a chunk size is no hexadecimal number");
        } else if (c == '\r') {
          phase_ = Phase::kSizeLf;
        } else if (c == ';') {
          phase_ = Phase::kExtension;
          extension_state_ = kNameBegin;
        } else {
          return reject("a chunk size is no hexadecimal number");
        }
        break;
      }
      case Phase::kExtension:
        if (c == '\r' && (extension_state_ == kName || extension_state_ == kValue || extension_state_ == kQuoteEnd)) {
          phase_ = Phase::kSizeLf;
        } else if (!extension(c)) {
          return reject("a chunk extension is malformed");
        } else if (++extension_bytes_ > kExtensionSizeBytesMax) {
          return reject("the chunk extensions are too long");
        }
        break;
      case Phase::kSizeLf:
        if (c != '\n') return reject("a chunk size line does not end in CRLF");
        digits_ = 0;
        if (remaining_ == 0) {
          phase_ = Phase::kTrailer;
          line_match_ = 2;  // the size line's own CRLF
        } else {
          phase_ = Phase::kData;
        }
        break;
      case Phase::kData: {
        size_t take = input.size() - i;
        if (take > remaining_) take = static_cast<size_t>(remaining_);
        BytesView data = input.subspan(i, take);
        skip(take);
        return Step{i + take, data, false};
      }
      case Phase::kDataCr:
        if (c != '\r') return reject("chunk data is not followed by CRLF");
        phase_ = Phase::kDataLf;
        break;
      case Phase::kDataLf:
        if (c != '\n') return reject("chunk data is not followed by CRLF");
        phase_ = Phase::kSize;
        break;
      case Phase::kTrailer: {
        trailer_text_.push_back(c);
        if (trailer_text_.size() > kTrailerSizeBytesMax) return reject("the trailers are too large");
        bool expected = c == (line_match_ % 2 == 0 ? '\r' : '\n');
        line_match_ = expected ? static_cast<uint8_t>(line_match_ + 1) : static_cast<uint8_t>(c == '\r' ? 1 : 0);
        if (line_match_ < 4) break;
        detail::HeadState state;
        state.phase = detail::Phase::kLine;
        Limits limits{.head_size_bytes_max = kTrailerSizeBytesMax + 1};
        auto parsed = detail::parse_fields<scan::Scalar>(state, trailers_, limits, rejection_, trailer_text_.data(),
                                                         trailer_text_.size());
        // The text ends at its first empty line, so the parser either finishes there or refuses it.
        if (!parsed || *parsed != Progress::kComplete) {
          return reject(parsed ? std::string_view("the trailers are malformed") : parsed.error().rule);
        }
        phase_ = Phase::kDone;
        ++offset_;
        return Step{i + 1, {}, true};
      }
      case Phase::kDone:
        return Step{i, {}, true};
      case Phase::kRejected:
        return std::unexpected(rejection_);
    }
  }
  if (phase_ == Phase::kRejected) return std::unexpected(rejection_);
  return Step{i, {}, phase_ == Phase::kDone};
}

}  // namespace polis::http::h1
