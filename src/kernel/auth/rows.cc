#include "kernel/auth/rows.h"

#include <algorithm>

#include "kernel/base/encoding.h"

namespace polis::auth::rows {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kTextBytesMax = 4096;
constexpr size_t kListMax = 256;

// Writes and reads a row field by field in one place, so that the two directions cannot drift apart.
class Encoder {
 public:
  Encoder() : writer_(bytes_) { writer_.u8(kVersion); }
  void field(const std::string& text) { writer_.sized(std::string_view(text)); }
  void field(const bool& flag) { writer_.boolean(flag); }
  void field(const WallTime& time) { writer_.u64(static_cast<uint64_t>(time.time_since_epoch().count())); }
  void field(const std::optional<WallTime>& time) {
    writer_.boolean(time.has_value());
    if (time) field(*time);
  }
  void field(const std::vector<std::string>& list) {
    writer_.varint(list.size());
    for (const std::string& text : list) field(text);
  }
  // A field that later versions added at the end; rows without it read as empty.
  void added(const std::string& text) {
    if (!text.empty()) field(text);
  }
  std::string take() { return std::string(as_text(bytes_)); }

 private:
  Bytes bytes_;
  base::Writer writer_;
};

class Decoder {
 public:
  explicit Decoder(std::string_view value) : reader_(as_bytes(value)) {
    if (reader_.u8() != kVersion) reader_.reject("a row of auth has an unknown version");
  }
  void field(std::string& text) { text = reader_.sized_text(kTextBytesMax); }
  void field(bool& flag) { flag = reader_.boolean(); }
  void field(WallTime& time) { time = WallTime(Duration(static_cast<int64_t>(reader_.u64()))); }
  void field(std::optional<WallTime>& time) {
    if (!reader_.boolean()) return;
    time.emplace();
    field(*time);
  }
  void field(std::vector<std::string>& list) {
    size_t count = reader_.count(1);
    if (count > kListMax) reader_.reject("a list in a row of auth is too long");
    for (size_t i = 0; i < count && reader_.ok(); ++i) field(list.emplace_back());
  }
  void added(std::string& text) {
    if (reader_.remaining_bytes() > 0) field(text);
  }
  Result<void> finish() const { return reader_.finish(); }

 private:
  base::Reader reader_;
};

template <class... Fields>
void fields(auto& coder, Fields&... all) {
  (coder.field(all), ...);
}

template <class T>
void visit(auto& coder, T& row) {
  using Plain = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Plain, Account>)
    fields(coder, row.id, row.canonical_id, row.name, row.email, row.created_at);
  else if constexpr (std::is_same_v<Plain, UserRow>) {
    fields(coder, row.user.id, row.user.account_id, row.user.name, row.user.display_name, row.user.email, row.user.root,
           row.user.administrator, row.user.disabled, row.user.attached_policies, row.user.created_at,
           row.password_hash);
    coder.added(row.user.path);
  } else if constexpr (std::is_same_v<Plain, AccessKeyRow>)
    fields(coder, row.record.id, row.record.user_id, row.record.description, row.record.active, row.record.created_at,
           row.sealed_secret);
  else if constexpr (std::is_same_v<Plain, TokenRow>)
    fields(coder, row.record.id, row.record.user_id, row.record.name, row.record.scopes, row.record.created_at,
           row.record.expires_at, row.token_hash);
  else
    fields(coder, row.id, row.user_id, row.peer, row.created_at, row.expires_at);
}

template <class T>
std::string encode_row(const T& row) {
  Encoder encoder;
  visit(encoder, row);
  return encoder.take();
}

template <class T>
Result<T> decode_row(std::string_view value) {
  Decoder decoder(value);
  T row;
  visit(decoder, row);
  TRY(decoder.finish());
  return row;
}

bool letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<void> check_alphabet(std::string_view what, std::string_view text, size_t limit, std::string_view extra) {
  bool fits = !text.empty() && text.size() <= limit && std::ranges::all_of(text, [&](char c) {
    return letter_or_digit(c) || extra.find(c) != std::string_view::npos;
  });
  if (fits) return {};
  return fail(Code::kInvalid, "the " + std::string(what) + " must have 1 to " + std::to_string(limit) +
                                  " characters out of letters, digits and " + std::string(extra));
}

}  // namespace

std::string key(std::string_view prefix, std::string_view id) {
  std::string out(prefix);
  out += id;
  return out;
}

std::string key(std::string_view prefix, std::string_view owner, std::string_view id) {
  std::string out(prefix);
  out += owner;
  out += '/';
  out += id;
  return out;
}

std::string encode(const Account& account) {
  return encode_row(account);
}
std::string encode(const UserRow& row) {
  return encode_row(row);
}
std::string encode(const AccessKeyRow& row) {
  return encode_row(row);
}
std::string encode(const TokenRow& row) {
  return encode_row(row);
}
std::string encode(const SessionRecord& session) {
  return encode_row(session);
}

Result<Account> decode_account(std::string_view value) {
  return decode_row<Account>(value);
}
Result<UserRow> decode_user(std::string_view value) {
  UserRow row = TRY(decode_row<UserRow>(value));
  row.user.has_password = !row.password_hash.empty();
  return row;
}
Result<AccessKeyRow> decode_access_key(std::string_view value) {
  return decode_row<AccessKeyRow>(value);
}
Result<TokenRow> decode_token(std::string_view value) {
  return decode_row<TokenRow>(value);
}
Result<SessionRecord> decode_session(std::string_view value) {
  return decode_row<SessionRecord>(value);
}

Task<Result<Account>> read_account(store::Txn& txn, store::Keyspace keyspace, std::string id) {
  auto row = CO_TRY(co_await txn.get(keyspace, key("a/", id)));
  if (!row) co_return fail(Code::kNotFound, "there is no account " + id);
  co_return decode_account(row->value);
}

Task<Result<UserRow>> read_user(store::Txn& txn, store::Keyspace keyspace, std::string id) {
  auto row = CO_TRY(co_await txn.get(keyspace, key("u/", id)));
  if (!row) co_return fail(Code::kNotFound, "there is no user with the id " + id);
  co_return decode_user(row->value);
}

Task<Result<AccessKeyRow>> read_access_key(store::Txn& txn, store::Keyspace keyspace, std::string id) {
  auto row = CO_TRY(co_await txn.get(keyspace, key("k/", id)));
  if (!row) co_return fail(Code::kNotFound, "there is no access key " + id);
  co_return decode_access_key(row->value);
}

Task<Result<TokenRow>> read_token(store::Txn& txn, store::Keyspace keyspace, std::string id) {
  auto row = CO_TRY(co_await txn.get(keyspace, key("t/", id)));
  if (!row) co_return fail(Code::kNotFound, "there is no token " + id);
  co_return decode_token(row->value);
}

Task<Result<std::vector<store::Row>>> all(store::Txn& txn, store::Keyspace keyspace, std::string prefix,
                                          bool keys_only) {
  std::vector<store::Row> out;
  store::KeyRange range = store::prefix_range(prefix);
  for (;;) {
    auto scan = CO_TRY(co_await txn.scan(keyspace, range, {.limit = 1000, .keys_only = keys_only}));
    for (store::Row& row : scan.rows) out.push_back(std::move(row));
    if (out.size() > kRowsMax)
      co_return fail(Code::kTooLarge, "there are more than " + std::to_string(kRowsMax) + " rows under " + prefix);
    if (!scan.more) co_return out;
    range.begin = out.back().key + '\0';
  }
}

std::string_view last_part(std::string_view key) {
  return key.substr(key.rfind('/') + 1);
}

Result<void> check_name(std::string_view what, std::string_view name, size_t limit) {
  return check_alphabet(what, name, limit, "_.@+=,-");
}

Result<void> check_id(std::string_view what, std::string_view id, size_t limit) {
  return check_alphabet(what, id, limit, "._-");
}

}  // namespace polis::auth::rows
