#include "systems/ledger/faces/records.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "kernel/base/text_encoding.h"

namespace polis::ledger {
namespace {

constexpr uint8_t kFormat = 1;

struct TypeName {
  uint16_t code;
  std::string_view name;
};
constexpr TypeName kTypes[] = {{account_codes::kAsset, "asset"},
                               {account_codes::kLiability, "liability"},
                               {account_codes::kEquity, "equity"},
                               {account_codes::kIncome, "income"},
                               {account_codes::kExpense, "expense"}};

void append_big(std::string& key, u128 value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) key += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

u128 read_big(std::string_view bytes) {
  u128 value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

std::string key_of(char kind, u128 number, int bytes) {
  std::string key(1, kind);
  append_big(key, number, bytes);
  return key;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

void write_id(base::Writer& out, Id id) {
  out.u64(static_cast<uint64_t>(id));
  out.u64(static_cast<uint64_t>(id >> 64));
}

Id read_id(base::Reader& in) {
  const uint64_t low = in.u64();
  return static_cast<u128>(in.u64()) << 64 | low;
}

void write_time(base::Writer& out, WallTime time) {
  out.u64(static_cast<uint64_t>(time.time_since_epoch().count()));
}

WallTime read_time(base::Reader& in) {
  return WallTime(Duration(static_cast<int64_t>(in.u64())));
}

std::string text_of(const Bytes& bytes) {
  return std::string(as_text(bytes));
}

void expect_format(base::Reader& in) {
  if (in.u8() != kFormat && in.ok()) in.reject("an unknown format number");
}

}  // namespace

std::string_view account_type(uint16_t code) {
  for (const TypeName& type : kTypes)
    if (type.code == code) return type.name;
  return "other";
}

std::optional<uint16_t> account_code(std::string_view type) {
  for (const TypeName& known : kTypes)
    if (known.name == type) return known.code;
  return std::nullopt;
}

bool debit_normal(uint16_t code) {
  return code == account_codes::kAsset || code == account_codes::kExpense;
}

std::string_view name(TransactionKind kind) {
  switch (kind) {
    case TransactionKind::kPlain:
      return "transaction";
    case TransactionKind::kPost:
      return "post";
    case TransactionKind::kVoid:
      return "void";
    case TransactionKind::kReverse:
      return "reverse";
  }
  return "";
}

std::string_view name(TransactionState state) {
  switch (state) {
    case TransactionState::kAccepted:
      return "accepted";
    case TransactionState::kBooked:
      return "booked";
    case TransactionState::kRefused:
      return "refused";
  }
  return "";
}

// --- checks

Result<void> check_text(std::string_view what, std::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max)
    return fail(Code::kInvalid, fmt::format("{} has {} bytes; at most {} are allowed", what, text.size(), bytes_max));
  if (!base::utf8_valid(text) || has_control(text))
    return fail(Code::kInvalid, fmt::format("{} must be UTF-8 without control characters", what));
  return {};
}

Result<void> check_account_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalid, "a name must not be empty");
  TRY(check_text("the name", name, kNameBytesMax));
  if (name.find('/') != std::string_view::npos)
    return fail(Code::kInvalid, "a name must not contain '/'; part it with ':', as in assets:bank");
  if (name.front() == ' ' || name.back() == ' ')
    return fail(Code::kInvalid, "a name must not begin or end with a space");
  if (std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; }))
    return fail(Code::kInvalid, "a name must not be digits alone: these mean an account's id");
  return {};
}

Result<void> check_asset(std::string_view asset) {
  const bool good = !asset.empty() && asset.size() <= 24 && std::ranges::all_of(asset, [](unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  if (!good) return fail(Code::kInvalid, "an asset is 1 to 24 of A-Z a-z 0-9 . _ -, as in USD");
  return {};
}

Result<void> check_key(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax ||
      !std::ranges::all_of(key, [](unsigned char c) { return c >= 0x20 && c < 0x7F; }))
    return fail(Code::kInvalid, "an Idempotency-Key is 1 to 256 printable ASCII characters");
  return {};
}

Result<void> check_labels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > kLabelsMax)
    return fail(Code::kInvalid, fmt::format("{} labels; at most {} are allowed", labels.size(), kLabelsMax));
  for (const auto& [key, value] : labels) {
    if (key.empty()) return fail(Code::kInvalid, "a label needs a name");
    TRY(check_text("a label's name", key, kLabelKeyBytesMax));
    TRY(check_text("the label " + key, value, kLabelValueBytesMax));
  }
  return {};
}

// --- ids

Id derive_id(std::string_view domain, std::initializer_list<std::string_view> parts) {
  // One in 2^127 texts gives a number that is no id; the next counter gives another.
  for (uint32_t counter = 0;; ++counter) {
    Bytes bytes;
    base::Writer out(bytes);
    out.sized(domain);
    for (std::string_view part : parts) out.sized(part);
    if (counter > 0) out.u32(counter);
    const base::Sha256Digest digest = base::sha256(bytes);
    Id id = 0;
    std::memcpy(&id, digest.data(), sizeof id);
    if (id != 0 && id != kU128Max) return id;
  }
}

Id transaction_id(std::string_view key, std::string_view reference) {
  if (!key.empty()) return derive_id("polis ledger transaction", {"key", key});
  return derive_id("polis ledger transaction", {"reference", reference});
}

Id follow_up_id(TransactionKind kind, Id parent, std::string_view key) {
  return derive_id("polis ledger follow-up", {name(kind), encode_id(parent), key});
}

Id transfer_id(Id transaction, uint32_t index) {
  return derive_id("polis ledger transfer", {encode_id(transaction), std::to_string(index)});
}

Id account_id(std::string_view name, uint32_t attempt) {
  return derive_id("polis ledger account", {name, std::to_string(attempt)});
}

uint64_t reference_tag(std::string_view reference) {
  if (reference.empty()) return 0;
  const base::Sha256Digest digest = base::sha256(reference);
  uint64_t tag = 0;
  std::memcpy(&tag, digest.data(), sizeof tag);
  return tag;
}

// --- keys

std::string ledger_key(uint32_t ledger) {
  return key_of('l', ledger, 4);
}
std::string ledgers_prefix() {
  return "l";
}
std::string account_key(Id id) {
  return key_of('a', id, 16);
}
std::string name_key(std::string_view name) {
  return "n" + std::string(name);
}
std::string names_prefix(std::string_view begin_of_name) {
  return name_key(begin_of_name);
}
std::string transaction_key(Id id) {
  return key_of('t', id, 16);
}
std::string reference_key(std::string_view reference) {
  return "r" + std::string(reference);
}
std::string recent_key(WallTime created_at, Id id) {
  std::string key = key_of('s', ~static_cast<uint64_t>(created_at.time_since_epoch().count()), 8);
  append_big(key, id, 16);
  return key;
}
std::string recent_prefix() {
  return "s";
}
std::string working_key(Id id) {
  return key_of('w', id, 16);
}
std::string working_prefix() {
  return "w";
}
std::string reversal_key(Id id) {
  return key_of('v', id, 16);
}

Result<Id> id_at_end(std::string_view key) {
  if (key.size() < 17) return fail(Code::kCorrupt, "a key of the ledger's rows is too short");
  return read_big(key.substr(key.size() - 16));
}

std::string encode_id(Id id) {
  std::string value;
  append_big(value, id, 16);
  return value;
}

Result<Id> decode_id(std::string_view value) {
  if (value.size() != 16) return fail(Code::kCorrupt, "an id in the ledger's rows has the wrong length");
  return read_big(value);
}

// --- values

std::string encode(const LedgerRecord& record) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kFormat);
  out.u32(record.id);
  out.sized(record.asset);
  out.u8(record.scale);
  write_time(out, record.created_at);
  return text_of(bytes);
}

Result<LedgerRecord> decode_ledger(std::string_view value) {
  base::Reader in(as_bytes(value));
  LedgerRecord record;
  expect_format(in);
  record.id = in.u32();
  record.asset = in.sized_text();
  record.scale = in.u8();
  record.created_at = read_time(in);
  TRY(in.finish());
  return record;
}

std::string encode(const AccountRecord& record) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kFormat);
  write_id(out, record.id);
  out.sized(record.name);
  out.sized(record.owner);
  out.varint(record.labels.size());
  for (const auto& [key, label] : record.labels) {
    out.sized(key);
    out.sized(label);
  }
  out.u64(record.version);
  out.u32(record.ledger);
  out.u16(record.code);
  out.u16(record.flags);
  write_time(out, record.created_at);
  return text_of(bytes);
}

Result<AccountRecord> decode_account(std::string_view value) {
  base::Reader in(as_bytes(value));
  AccountRecord record;
  expect_format(in);
  record.id = read_id(in);
  record.name = in.sized_text();
  record.owner = in.sized_text();
  const size_t labels = in.count(2);
  for (size_t i = 0; i < labels && in.ok(); ++i) {
    std::string key(in.sized_text());
    record.labels[std::move(key)] = in.sized_text();
  }
  record.version = in.u64();
  record.ledger = in.u32();
  record.code = in.u16();
  record.flags = in.u16();
  record.created_at = read_time(in);
  TRY(in.finish());
  return record;
}

std::string encode(const TransactionRecord& record) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kFormat);
  write_id(out, record.id);
  out.u8(static_cast<uint8_t>(record.kind));
  write_id(out, record.parent);
  out.sized(record.key);
  out.sized(record.reference);
  out.sized(record.metadata);
  out.bytes(record.digest);
  out.u32(record.count);
  out.boolean(record.pending);
  out.u32(record.timeout_s);
  out.varint(record.ledgers.size());
  for (uint32_t ledger : record.ledgers) out.u32(ledger);
  write_time(out, record.created_at);
  out.u8(static_cast<uint8_t>(record.state));
  out.u32(record.status);
  out.u32(record.posting);
  return text_of(bytes);
}

Result<TransactionRecord> decode_transaction(std::string_view value) {
  base::Reader in(as_bytes(value));
  TransactionRecord record;
  expect_format(in);
  record.id = read_id(in);
  const uint8_t kind = in.u8();
  if (kind > static_cast<uint8_t>(TransactionKind::kReverse)) in.reject("an unknown kind of transaction");
  record.kind = static_cast<TransactionKind>(kind);
  record.parent = read_id(in);
  record.key = in.sized_text();
  record.reference = in.sized_text();
  record.metadata = in.sized_text();
  const BytesView digest = in.bytes(record.digest.size());
  if (digest.size() == record.digest.size()) std::memcpy(record.digest.data(), digest.data(), digest.size());
  record.count = in.u32();
  record.pending = in.boolean();
  record.timeout_s = in.u32();
  const size_t ledgers = in.count(4);
  for (size_t i = 0; i < ledgers && in.ok(); ++i) record.ledgers.push_back(in.u32());
  record.created_at = read_time(in);
  const uint8_t state = in.u8();
  if (state > static_cast<uint8_t>(TransactionState::kRefused)) in.reject("an unknown state of a transaction");
  record.state = static_cast<TransactionState>(state);
  record.status = in.u32();
  record.posting = in.u32();
  TRY(in.finish());
  return record;
}

}  // namespace polis::ledger
