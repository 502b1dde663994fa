#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/formats/text.h"
#include "systems/ledger/head_key.h"

namespace polis::ledger::formats {
namespace {

namespace json = boost::json;

constexpr size_t kTextBytesMax = size_t{64} << 20;  // 100,000 links of 200 bytes are 20 MB
constexpr size_t kDepthMax = 8;
constexpr size_t kPathMax = 32;  // a count has 32 bits
constexpr std::string_view kFormat = "polis ledger proof 1";

std::unexpected<Error> refuse(std::string_view member, std::string_view why) {
  return fail(Code::kInvalid, fmt::format("proof: '{}' {}", member, why));
}

Result<const json::value*> member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return refuse(key, "is missing");
  return value;
}

Result<std::string_view> text(const json::object& object, std::string_view key) {
  const json::value* value = TRY(member(object, key));
  if (!value->is_string()) return refuse(key, "is not a text");
  return std::string_view(value->get_string().data(), value->get_string().size());
}

Result<void> hex_into(std::string_view key, std::string_view hex, MutableBytes out) {
  auto bytes = base::hex_decode(hex.substr(0, 2 * out.size() + 2));
  if (!bytes || bytes->size() != out.size()) return refuse(key, fmt::format("is not {} bytes in hex", out.size()));
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return {};
}
Result<void> hex_member(const json::object& object, std::string_view key, MutableBytes out) {
  return hex_into(key, TRY(text(object, key)), out);
}

// A JSON number, or decimal text.
Result<uint64_t> number(const json::object& object, std::string_view key, uint64_t max) {
  const json::value* value = TRY(member(object, key));
  u128 parsed = kU128Max;
  if (value->is_int64() && value->get_int64() >= 0) {
    parsed = static_cast<u128>(value->get_int64());
  } else if (value->is_uint64()) {
    parsed = value->get_uint64();
  } else if (value->is_string()) {
    auto decimal = parse_decimal(std::string_view(value->get_string().data(), value->get_string().size()));
    if (!decimal) return refuse(key, "is not a number: " + decimal.error().message());
    parsed = *decimal;
  } else {
    return refuse(key, "is not a number");
  }
  if (parsed > max) return refuse(key, fmt::format("is above {}", max));
  return static_cast<uint64_t>(parsed);
}

Result<const json::array*> list(const json::object& object, std::string_view key, size_t size_max) {
  const json::value* value = TRY(member(object, key));
  if (!value->is_array()) return refuse(key, "is not a list");
  if (value->get_array().size() > size_max) return refuse(key, fmt::format("has more than {} elements", size_max));
  return &value->get_array();
}

// Without the head before it, which follows from the links ahead.
Result<BatchLink> parse_link(const json::value& value) {
  if (!value.is_object()) return refuse("links", "holds something that is no link");
  const json::object& object = value.get_object();
  BatchLink link;
  link.op = TRY(number(object, "op", UINT64_MAX));
  link.timestamp = TRY(number(object, "timestamp", UINT64_MAX));
  link.operation = static_cast<uint8_t>(TRY(number(object, "operation", UINT8_MAX)));
  link.count = static_cast<uint32_t>(TRY(number(object, "count", UINT32_MAX)));
  TRY(hex_member(object, "root", link.head.root));
  return link;
}

Result<SignedHead> parse_head(const json::object& object) {
  const json::value* value = TRY(member(object, "head"));
  if (!value->is_object()) return refuse("head", "is not an object");
  SignedHead head = TRY(parse_signed_head(TRY(text(value->get_object(), "text"))));
  auto signature = base::base64_decode(TRY(text(value->get_object(), "signature")));
  if (!signature || signature->size() != head.signature.size()) return refuse("signature", "is not 64 bytes in base64");
  std::copy(signature->begin(), signature->end(), head.signature.begin());
  return head;
}

}  // namespace

Result<SignedProof> parse_signed_proof(std::string_view json_text) {
  if (json_text.size() > kTextBytesMax)
    return fail(Code::kTooLarge, fmt::format("a proof of {} bytes is longer than {}", json_text.size(), kTextBytesMax));
  json::parse_options options;
  options.max_depth = kDepthMax;
  boost::system::error_code error;
  const json::value document = json::parse(json::string_view(json_text.data(), json_text.size()), error, {}, options);
  if (error) return fail(Code::kInvalid, "the proof is not JSON: " + error.message());
  if (!document.is_object()) return fail(Code::kInvalid, "a proof is a JSON object");
  const json::object& object = document.get_object();
  if (TRY(text(object, "format")) != kFormat) return refuse("format", fmt::format("is not '{}'", kFormat));

  SignedProof proof;
  InclusionProof& inclusion = proof.inclusion;
  TRY(hex_member(object, "record", inclusion.record));
  inclusion.status = static_cast<uint32_t>(TRY(number(object, "status", UINT32_MAX)));
  inclusion.index = static_cast<uint32_t>(TRY(number(object, "index", UINT32_MAX)));
  for (const json::value& sibling : *TRY(list(object, "path", kPathMax))) {
    if (!sibling.is_string()) return refuse("path", "holds something that is no text");
    inclusion.path.emplace_back();
    TRY(hex_into("path", std::string_view(sibling.get_string().data(), sibling.get_string().size()),
                 inclusion.path.back()));
  }
  Hash previous;
  TRY(hex_member(object, "previous", previous));
  for (const json::value& value : *TRY(list(object, "links", kProofLinksMax))) {
    BatchLink link = TRY(parse_link(value));
    link.head.previous = previous;
    previous = link.head_after();
    proof.links.push_back(link);
  }
  if (proof.links.empty()) return refuse("links", "is empty");
  inclusion.link = proof.links.front();
  proof.head = TRY(parse_head(object));
  proof.public_key_pem = TRY(text(object, "public_key"));
  return proof;
}

}  // namespace polis::ledger::formats
