#include "systems/ledger/faces/requests.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/binary.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

// An object and the members that were asked for; what nobody asked for is refused at the end.
class Members {
 public:
  static Result<Members> parse(std::string_view text, std::string_view what) {
    boost::system::error_code error;
    if (text.empty()) text = "{}";
    json::value value = json::parse(text, error);
    if (error) return fail(Code::kInvalid, fmt::format("{} is no JSON: {}", what, error.message()));
    if (!value.is_object()) return fail(Code::kInvalid, fmt::format("{} must be a JSON object", what));
    return Members(std::move(value.get_object()), std::string(what));
  }
  Members(json::object object, std::string what) : object_(std::move(object)), what_(std::move(what)) {}

  const json::value* find(std::string_view name) {
    known_.push_back(name);
    const json::value* value = object_.if_contains(name);
    return value && !value->is_null() ? value : nullptr;
  }
  Result<std::string> text(std::string_view name, bool required = false) {
    const json::value* value = find(name);
    if (!value && !required) return std::string();
    if (!value) return fail(Code::kInvalid, fmt::format("{} needs \"{}\"", what_, name));
    if (!value->is_string()) return fail(Code::kInvalid, fmt::format("\"{}\" must be a text", name));
    return std::string(value->get_string());
  }
  // A text of digits. A JSON number is refused even where it would fit: many writers round large ones.
  Result<std::optional<std::string>> amount(std::string_view name) {
    const json::value* value = find(name);
    if (!value) return std::optional<std::string>();
    if (!value->is_string())
      return fail(Code::kInvalid,
                  fmt::format("\"{}\" must be a text of digits, as in \"123\": numbers lose precision", name));
    return std::optional<std::string>(std::string(value->get_string()));
  }
  Result<uint64_t> integer(std::string_view name, uint64_t max, std::optional<uint64_t> absent = std::nullopt) {
    const json::value* value = find(name);
    if (!value && absent) return *absent;
    if (!value) return fail(Code::kInvalid, fmt::format("{} needs \"{}\"", what_, name));
    uint64_t number = 0;
    if (value->is_int64() && value->get_int64() >= 0)
      number = static_cast<uint64_t>(value->get_int64());
    else if (value->is_uint64())
      number = value->get_uint64();
    else
      return fail(Code::kInvalid, fmt::format("\"{}\" must be a whole number of 0 to {}", name, max));
    if (number > max) return fail(Code::kInvalid, fmt::format("\"{}\" must be a whole number of 0 to {}", name, max));
    return number;
  }
  Result<bool> boolean(std::string_view name) {
    const json::value* value = find(name);
    if (!value) return false;
    if (!value->is_bool()) return fail(Code::kInvalid, fmt::format("\"{}\" must be true or false", name));
    return value->get_bool();
  }
  Result<void> finish() const {
    for (const auto& member : object_)
      if (std::ranges::find(known_, std::string_view(member.key())) == known_.end())
        return fail(Code::kInvalid, fmt::format("{} has no member \"{}\"", what_,
                                                std::string_view(member.key()).substr(0, kLabelKeyBytesMax)));
    return {};
  }

 private:
  json::object object_;
  std::string what_;
  std::vector<std::string_view> known_;
};

struct LimitName {
  uint16_t flag;
  std::string_view name;
};
constexpr LimitName kLimits[] = {
    {0, "none"},
    {account_flags::kDebitsMustNotExceedCredits, "debits_must_not_exceed_credits"},
    {account_flags::kCreditsMustNotExceedDebits, "credits_must_not_exceed_debits"},
};

Result<std::map<std::string, std::optional<std::string>>> labels_of(const json::value* value) {
  std::map<std::string, std::optional<std::string>> labels;
  if (!value) return labels;
  if (!value->is_object()) return fail(Code::kInvalid, "\"labels\" must be an object of texts");
  if (value->get_object().size() > 2 * kLabelsMax) return fail(Code::kInvalid, "too many labels");
  for (const auto& member : value->get_object()) {
    std::optional<std::string> label;
    if (member.value().is_string())
      label = std::string(member.value().get_string());
    else if (!member.value().is_null())
      return fail(Code::kInvalid, "\"labels\" must be an object of texts");
    labels[std::string(member.key())] = std::move(label);
  }
  return labels;
}

Result<std::string> metadata_of(Members& members) {
  const json::value* metadata = members.find("metadata");
  if (!metadata) return std::string();
  if (!metadata->is_object()) return fail(Code::kInvalid, "\"metadata\" must be an object");
  std::string text = json::serialize(*metadata);
  if (text.size() > kMetadataBytesMax)
    return fail(Code::kTooLarge, fmt::format("\"metadata\" may have {} bytes at most", kMetadataBytesMax));
  return text;
}

Result<NewPosting> parse_posting(const json::value& value, size_t index) {
  const std::string what = fmt::format("posting {}", index);
  if (!value.is_object()) return fail(Code::kInvalid, what + " must be an object");
  Members members(value.get_object(), what);
  NewPosting posting;
  posting.from = TRY(members.text("from", true));
  posting.to = TRY(members.text("to", true));
  posting.asset = TRY(members.text("asset"));
  std::optional<std::string> amount = TRY(members.amount("amount"));
  std::optional<std::string> decimal = TRY(members.amount("amount_decimal"));
  TRY(members.finish());
  if (amount.has_value() == decimal.has_value())
    return fail(Code::kInvalid, what + " needs either \"amount\" (smallest unit) or \"amount_decimal\"");
  posting.decimal = decimal.has_value();
  posting.amount = decimal ? *decimal : *amount;
  if (posting.amount.size() > 64) return fail(Code::kInvalid, what + ": the amount has too many digits");
  // A decimal one is checked when the scale is known.
  if (!posting.decimal) {
    auto units = parse_decimal(posting.amount);
    if (!units) return fail(Code::kInvalid, fmt::format("{}: {}", what, units.error().message()));
    posting.amount = to_decimal(*units);
  }
  for (const std::string* party : {&posting.from, &posting.to})
    if (party->empty() || party->size() > kNameBytesMax)
      return fail(Code::kInvalid, what + ": \"from\" and \"to\" are names or ids of accounts");
  if (!posting.asset.empty()) TRY(check_asset(posting.asset));
  return posting;
}

}  // namespace

Result<NewLedger> parse_new_ledger(std::string_view text) {
  Members members = TRY(Members::parse(text, "a ledger"));
  NewLedger ledger;
  ledger.id = static_cast<uint32_t>(TRY(members.integer("id", UINT32_MAX)));
  ledger.asset = TRY(members.text("asset", true));
  ledger.scale = static_cast<uint8_t>(TRY(members.integer("scale", kScaleMax)));
  TRY(members.finish());
  if (ledger.id == 0) return fail(Code::kInvalid, "\"id\" must not be 0");
  TRY(check_asset(ledger.asset));
  return ledger;
}

std::string_view limit_name(uint16_t flags) {
  for (const LimitName& limit : kLimits)
    if (limit.flag != 0 && (flags & limit.flag)) return limit.name;
  return "none";
}

Result<NewAccount> parse_new_account(std::string_view text) {
  Members members = TRY(Members::parse(text, "an account"));
  NewAccount account;
  account.name = TRY(members.text("name"));
  std::optional<std::string> id = TRY(members.amount("id"));
  account.ledger = static_cast<uint32_t>(TRY(members.integer("ledger", UINT32_MAX)));
  const std::string type = TRY(members.text("type"));
  const uint64_t code = TRY(members.integer("code", UINT16_MAX, 0));
  const std::string limit = TRY(members.text("limit"));
  const bool history = TRY(members.boolean("history"));
  account.owner = TRY(members.text("owner"));
  auto labels = TRY(labels_of(members.find("labels")));
  TRY(members.finish());

  if (account.ledger == 0) return fail(Code::kInvalid, "\"ledger\" must not be 0");
  if (!account.name.empty()) TRY(check_account_name(account.name));
  if (id) {
    account.id = parse_id(*id);
    if (!account.id || *account.id == 0 || *account.id == kU128Max)
      return fail(Code::kInvalid, "\"id\" must be a decimal number of 1 to 2^128-2");
  }
  if (account.name.empty() && !account.id) return fail(Code::kInvalid, "an account needs a \"name\" or an \"id\"");
  if (!type.empty() && code != 0) return fail(Code::kInvalid, "give either \"type\" or \"code\"");
  if (code != 0) account.code = static_cast<uint16_t>(code);
  if (!type.empty()) {
    auto known = account_code(type);
    if (!known) return fail(Code::kInvalid, "\"type\" is one of asset, liability, equity, income, expense");
    account.code = *known;
  }
  if (!limit.empty()) {
    const auto* known = std::ranges::find(kLimits, std::string_view(limit), &LimitName::name);
    if (known == std::end(kLimits))
      return fail(Code::kInvalid,
                  "\"limit\" is one of none, debits_must_not_exceed_credits, credits_must_not_exceed_debits");
    account.flags |= known->flag;
  }
  if (history) account.flags |= account_flags::kHistory;
  TRY(check_text("the owner", account.owner, kOwnerBytesMax));
  for (auto& [key, value] : labels) {
    if (!value) return fail(Code::kInvalid, "a label must be a text");
    account.labels[key] = std::move(*value);
  }
  TRY(check_labels(account.labels));
  return account;
}

Result<MetadataPatch> parse_metadata_patch(std::string_view text) {
  Members members = TRY(Members::parse(text, "the metadata"));
  MetadataPatch patch;
  if (members.find("name")) patch.name = TRY(members.text("name"));
  if (members.find("owner")) patch.owner = TRY(members.text("owner"));
  patch.labels = TRY(labels_of(members.find("labels")));
  if (members.find("version")) patch.version = TRY(members.integer("version", UINT64_MAX));
  TRY(members.finish());
  if (patch.name) TRY(check_account_name(*patch.name));
  if (patch.owner) TRY(check_text("the owner", *patch.owner, kOwnerBytesMax));
  if (!patch.name && !patch.owner && patch.labels.empty())
    return fail(Code::kInvalid, "nothing to change: give \"name\", \"owner\" or \"labels\"");
  return patch;
}

Result<AccountRecord> apply(const MetadataPatch& patch, AccountRecord record) {
  if (patch.name) record.name = *patch.name;
  if (patch.owner) record.owner = *patch.owner;
  for (const auto& [key, value] : patch.labels) {
    if (value)
      record.labels[key] = *value;
    else
      record.labels.erase(key);
  }
  TRY(check_labels(record.labels));
  ++record.version;
  return record;
}

Result<NewTransaction> parse_new_transaction(std::string_view text) {
  Members members = TRY(Members::parse(text, "a transaction"));
  NewTransaction request;
  request.reference = TRY(members.text("reference"));
  request.pending = TRY(members.boolean("pending"));
  request.timeout_s = static_cast<uint32_t>(TRY(members.integer("timeout", UINT32_MAX, 0)));
  request.code = static_cast<uint16_t>(TRY(members.integer("code", UINT16_MAX, 1)));
  request.metadata = TRY(metadata_of(members));
  const json::value* postings = members.find("postings");
  TRY(members.finish());
  TRY(check_text("the reference", request.reference, kReferenceBytesMax));
  if (request.code == 0) return fail(Code::kInvalid, "\"code\" must not be 0");
  if (request.timeout_s != 0 && !request.pending)
    return fail(Code::kInvalid, "\"timeout\" is for pending transactions only");
  if (!postings || !postings->is_array() || postings->get_array().empty())
    return fail(Code::kInvalid, "a transaction needs \"postings\": [{\"from\",\"to\",\"amount\"}]");
  if (postings->get_array().size() > kPostingsMax)
    return fail(Code::kTooLarge, fmt::format("a transaction has {} postings at most", kPostingsMax));
  request.postings.reserve(postings->get_array().size());
  for (const json::value& posting : postings->get_array())
    request.postings.push_back(TRY(parse_posting(posting, request.postings.size())));
  return request;
}

base::Sha256Digest digest_of(const NewTransaction& request) {
  Bytes bytes;
  base::Writer out(bytes);
  out.sized(request.reference);
  out.boolean(request.pending);
  out.u32(request.timeout_s);
  out.u16(request.code);
  out.sized(request.metadata);
  out.varint(request.postings.size());
  for (const NewPosting& posting : request.postings) {
    out.sized(posting.from);
    out.sized(posting.to);
    out.boolean(posting.decimal);
    out.sized(posting.amount);
    out.sized(posting.asset);
  }
  POLIS_ASSERT(out.ok());
  return base::sha256(bytes);
}

Result<NewPost> parse_new_post(std::string_view text) {
  Members members = TRY(Members::parse(text, "a post"));
  NewPost request;
  std::optional<std::string> amount = TRY(members.amount("amount"));
  const json::value* amounts = members.find("amounts");
  TRY(members.finish());
  if (amount && amounts) return fail(Code::kInvalid, "give either \"amount\" or \"amounts\"");
  if (amount) request.amounts.push_back(*amount);
  if (amounts) {
    if (!amounts->is_array() || amounts->get_array().empty() || amounts->get_array().size() > kPostingsMax)
      return fail(Code::kInvalid, "\"amounts\" must be a list of texts of digits, one a posting");
    for (const json::value& one : amounts->get_array()) {
      if (!one.is_string()) return fail(Code::kInvalid, "\"amounts\" must be a list of texts of digits");
      request.amounts.emplace_back(one.get_string());
    }
  }
  for (std::string& text_of_amount : request.amounts) text_of_amount = to_decimal(TRY(parse_decimal(text_of_amount)));
  return request;
}

Result<NewReversal> parse_new_reversal(std::string_view text) {
  Members members = TRY(Members::parse(text, "a reversal"));
  NewReversal request;
  request.reference = TRY(members.text("reference"));
  request.metadata = TRY(metadata_of(members));
  TRY(members.finish());
  TRY(check_text("the reference", request.reference, kReferenceBytesMax));
  return request;
}

std::optional<Id> parse_id(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  auto id = parse_decimal(text);
  return id ? std::optional<Id>(*id) : std::nullopt;
}

}  // namespace polis::ledger
