// Managed and inline policies of users.
#include <algorithm>

#include "kernel/auth/directory.h"
#include "kernel/auth/directory_parts.h"
#include "kernel/auth/rows.h"

namespace polis::auth {
namespace {

constexpr size_t kPolicyNameMax = 128;

Result<void> check_policy(const std::string& name, const std::string& text) {
  TRY(rows::check_name("name of the policy", name, kPolicyNameMax));
  TRY(Policy::parse(text, PolicyKind::kIdentity));
  return {};
}

std::unexpected<Error> no_policy(const std::string& name) {
  return fail(Code::kNotFound, "there is no policy " + name);
}

}  // namespace

Task<Result<void>> Directory::put_policy(Actor actor, std::string name, std::string text) {
  CO_TRY(check_policy(name, text));
  if (builtin_policy(name)) co_return fail(Code::kReadOnly, "the policy " + name + " is built in; choose another name");
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    CO_TRY(txn.put(keyspace_, rows::key("p/", name), text));
    co_return audit_.append(txn, audit_.describe(actor, "auth:PutPolicy", name));
  });
}

Task<Result<PolicyRecord>> Directory::policy(std::string name) {
  if (auto text = builtin_policy(name)) co_return PolicyRecord{std::move(name), std::string(*text), true};
  auto txn = CO_TRY(co_await store_.begin());
  auto row = CO_TRY(co_await txn->get(keyspace_, rows::key("p/", name)));
  if (!row) co_return no_policy(name);
  co_return PolicyRecord{std::move(name), std::move(row->value)};
}

Task<Result<std::vector<PolicyRecord>>> Directory::policies() {
  auto txn = CO_TRY(co_await store_.begin());
  std::vector<PolicyRecord> out;
  for (std::string_view name : builtin_policy_names())
    out.push_back({std::string(name), std::string(*builtin_policy(name)), true});
  for (store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, "p/")))
    out.push_back({std::string(rows::last_part(row.key)), std::move(row.value)});
  std::ranges::sort(out, {}, &PolicyRecord::name);
  co_return out;
}

Task<Result<void>> Directory::delete_policy(Actor actor, std::string name) {
  if (builtin_policy(name)) co_return fail(Code::kReadOnly, "the policy " + name + " is built in");
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    if (!CO_TRY(co_await txn.get_for_update(keyspace_, rows::key("p/", name)))) co_return no_policy(name);
    for (const store::Row& row : CO_TRY(co_await rows::all(txn, keyspace_, "u/"))) {
      User user = CO_TRY(rows::decode_user(row.value)).user;
      if (std::ranges::find(user.attached_policies, name) != user.attached_policies.end())
        co_return fail(Code::kInvalid, "the user " + user.name + " has the policy " + name + "; detach it before");
    }
    CO_TRY(txn.erase(keyspace_, rows::key("p/", name)));
    co_return audit_.append(txn, audit_.describe(actor, "auth:DeletePolicy", name));
  });
}

Task<Result<void>> Directory::attach_policy(Actor actor, std::string user_id, std::string name) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    std::vector<std::string>& attached = row.user.attached_policies;
    if (std::ranges::find(attached, name) != attached.end()) co_return Result<void>{};
    if (!builtin_policy(name)) {
      auto policy = CO_TRY(co_await txn.get(keyspace_, rows::key("p/", name)));
      if (!policy) co_return no_policy(name);
      // Written as it is, so that a concurrent deletion conflicts.
      CO_TRY(txn.put(keyspace_, rows::key("p/", name), policy->value));
    }
    if (attached.size() >= kPoliciesPerUserMax)
      co_return fail(Code::kTooLarge,
                     "a user has at most " + std::to_string(kPoliciesPerUserMax) + " attached policies");
    attached.push_back(name);
    CO_TRY(txn.put(keyspace_, rows::key("u/", user_id), rows::encode(row)));
    co_return audit_.append(
        txn, audit_.describe(actor, "auth:AttachPolicy", user_arn(row.user), AuditOutcome::kSuccess, name));
  });
}

Task<Result<void>> Directory::detach_policy(Actor actor, std::string user_id, std::string name) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    if (std::erase(row.user.attached_policies, name) == 0)
      co_return fail(Code::kNotFound, "the user " + row.user.name + " does not have the policy " + name);
    CO_TRY(txn.put(keyspace_, rows::key("u/", user_id), rows::encode(row)));
    co_return audit_.append(
        txn, audit_.describe(actor, "auth:DetachPolicy", user_arn(row.user), AuditOutcome::kSuccess, name));
  });
}

Task<Result<void>> Directory::put_user_policy(Actor actor, std::string user_id, std::string name, std::string text) {
  CO_TRY(check_policy(name, text));
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    auto present = CO_TRY(co_await rows::all(txn, keyspace_, rows::key("pi/", user_id, ""), true));
    bool replaces =
        std::ranges::any_of(present, [&](const store::Row& one) { return rows::last_part(one.key) == name; });
    if (!replaces && present.size() >= kPoliciesPerUserMax)
      co_return fail(Code::kTooLarge, "a user has at most " + std::to_string(kPoliciesPerUserMax) + " inline policies");
    CO_TRY(txn.put(keyspace_, rows::key("pi/", user_id, name), text));
    co_return audit_.append(
        txn, audit_.describe(actor, "auth:PutUserPolicy", user_arn(row.user), AuditOutcome::kSuccess, name));
  });
}

Task<Result<PolicyRecord>> Directory::user_policy(std::string user_id, std::string name) {
  auto txn = CO_TRY(co_await store_.begin());
  auto row = CO_TRY(co_await txn->get(keyspace_, rows::key("pi/", user_id, name)));
  if (!row) co_return no_policy(name);
  co_return PolicyRecord{std::move(name), std::move(row->value)};
}

Task<Result<std::vector<PolicyRecord>>> Directory::user_policies(std::string user_id) {
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(co_await rows::read_user(*txn, keyspace_, user_id));
  std::vector<PolicyRecord> out;
  for (store::Row& row : CO_TRY(co_await rows::all(*txn, keyspace_, rows::key("pi/", user_id, ""))))
    out.push_back({std::string(rows::last_part(row.key)), std::move(row.value)});
  co_return out;
}

Task<Result<void>> Directory::delete_user_policy(Actor actor, std::string user_id, std::string name) {
  co_return co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow row = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    if (!CO_TRY(co_await txn.get(keyspace_, rows::key("pi/", user_id, name)))) co_return no_policy(name);
    CO_TRY(txn.erase(keyspace_, rows::key("pi/", user_id, name)));
    co_return audit_.append(
        txn, audit_.describe(actor, "auth:DeleteUserPolicy", user_arn(row.user), AuditOutcome::kSuccess, name));
  });
}

}  // namespace polis::auth
