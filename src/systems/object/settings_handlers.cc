// What hangs on buckets and objects: ACLs, tags, bucket policy, CORS, public access block, ownership, request payment;
// and the settings that no bucket can have here yet, whose absence is answered as clients expect it.
#include <algorithm>
#include <charconv>

#include "kernel/base/ascii.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

constexpr std::string_view kXsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"";
constexpr std::string_view kXsiGroup = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"";

std::optional<Permission> permission_named(std::string_view text) {
  for (Permission one :
       {Permission::kRead, Permission::kWrite, Permission::kReadAcp, Permission::kWriteAcp, Permission::kFullControl})
    if (name(one) == text) return one;
  return std::nullopt;
}

Answer<Tags> parse_tagging(const XmlElement& xml, size_t count_max) {
  if (xml.name != "Tagging") return refuse(ErrorCode::kMalformedXml);
  const XmlElement* set = xml.child("TagSet");
  if (!set) return refuse(ErrorCode::kMalformedXml);
  Tags tags;
  for (const XmlElement& tag : set->children) {
    if (tag.name != "Tag" || !tag.child("Key") || !tag.child("Value")) return refuse(ErrorCode::kMalformedXml);
    tags.emplace_back(tag.text_of("Key"), tag.text_of("Value"));
  }
  ASK(check_tags(tags, count_max));
  return tags;
}

std::string tagging_document(const Tags& tags) {
  XmlWriter xml("Tagging");
  xml.open("TagSet");
  for (const auto& [key, value] : tags) xml.open("Tag").element("Key", key).element("Value", value).close();
  return xml.finish();
}

// --- CORS

// At most one '*', anywhere.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == text;
  return text.size() >= pattern.size() - 1 && text.starts_with(pattern.substr(0, star)) &&
         text.ends_with(pattern.substr(star + 1));
}

const CorsRule* cors_rule(const Bucket& bucket, std::string_view origin, std::string_view method,
                          std::string_view headers) {
  for (const CorsRule& rule : bucket.cors) {
    if (std::find(rule.methods.begin(), rule.methods.end(), method) == rule.methods.end()) continue;
    if (std::none_of(rule.origins.begin(), rule.origins.end(),
                     [&](const auto& one) { return matches_pattern(one, origin); }))
      continue;
    bool all = true;
    std::string_view list = headers, header;
    while (all && http::next_list_element(list, header))
      all = std::any_of(rule.headers.begin(), rule.headers.end(),
                        [&](const auto& one) { return matches_pattern(base::lower(one), base::lower(header)); });
    if (all) return &rule;
  }
  return nullptr;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

void set_cors_headers(http::Response& response, const CorsRule& rule, std::string_view origin,
                      std::string_view asked_headers) {
  bool any = std::find(rule.origins.begin(), rule.origins.end(), "*") != rule.origins.end();
  response.set("Access-Control-Allow-Origin", any ? "*" : origin);
  if (!any) response.set("Access-Control-Allow-Credentials", "true");
  response.set("Access-Control-Allow-Methods", joined(rule.methods));
  if (!asked_headers.empty()) response.set("Access-Control-Allow-Headers", asked_headers);
  if (!rule.expose.empty()) response.set("Access-Control-Expose-Headers", joined(rule.expose));
  if (rule.max_age_s) response.set("Access-Control-Max-Age", std::to_string(*rule.max_age_s));
  response.set("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
}

Answer<std::vector<CorsRule>> parse_cors(const XmlElement& xml) {
  if (xml.name != "CORSConfiguration") return refuse(ErrorCode::kMalformedXml);
  std::vector<CorsRule> rules;
  for (const XmlElement& element : xml.children) {
    if (element.name != "CORSRule") return refuse(ErrorCode::kMalformedXml);
    CorsRule& rule = rules.emplace_back();
    for (const XmlElement& field : element.children) {
      if (field.name == "ID")
        rule.id = field.text;
      else if (field.name == "AllowedMethod")
        rule.methods.push_back(field.text);
      else if (field.name == "AllowedOrigin")
        rule.origins.push_back(field.text);
      else if (field.name == "AllowedHeader")
        rule.headers.push_back(field.text);
      else if (field.name == "ExposeHeader")
        rule.expose.push_back(field.text);
      else if (field.name == "MaxAgeSeconds") {
        uint32_t age = 0;
        auto [end, error] = std::from_chars(field.text.data(), field.text.data() + field.text.size(), age);
        if (error != std::errc() || end != field.text.data() + field.text.size())
          return refuse(ErrorCode::kMalformedXml);
        rule.max_age_s = age;
      } else {
        return refuse(ErrorCode::kMalformedXml);
      }
    }
    if (rule.methods.empty() || rule.origins.empty()) return refuse(ErrorCode::kMalformedXml);
    static constexpr std::string_view kMethods[] = {"GET", "PUT", "POST", "DELETE", "HEAD"};
    for (const std::string& method : rule.methods)
      if (std::find(std::begin(kMethods), std::end(kMethods), method) == std::end(kMethods))
        return refuse(ErrorCode::kInvalidRequest,
                      "Found unsupported HTTP method in CORS config. Unsupported method is " + method.substr(0, 64));
    for (const auto* texts : {&rule.origins, &rule.headers})
      for (const std::string& one : *texts)
        if (std::count(one.begin(), one.end(), '*') > 1)
          return refuse(ErrorCode::kInvalidRequest,
                        "\"" + one.substr(0, 128) + "\" can not have more than one wildcard.");
  }
  if (rules.empty() || rules.size() > kCorsRulesMax) return refuse(ErrorCode::kMalformedXml);
  return rules;
}

bool truth(const XmlElement& xml, std::string_view name) {
  std::string_view value = xml.text_of(name);
  return value == "true" || value == "TRUE" || value == "True" || value == "1";
}

}  // namespace

// --- ACLs

std::string Service::acl_document(const Owner& owner, const Acl& acl, const std::map<std::string, std::string>& names) {
  auto name_of = [&](const std::string& id) {
    auto found = names.find(id);
    return found == names.end() ? id : found->second;
  };
  XmlWriter xml("AccessControlPolicy");
  xml.open("Owner").element("ID", owner.canonical_id).element("DisplayName", name_of(owner.canonical_id)).close();
  xml.open("AccessControlList");
  // Groups first, as canned ACLs have them: clients sort by the display name that only users have.
  std::vector<Grant> ordered;
  std::copy_if(acl.grants.begin(), acl.grants.end(), std::back_inserter(ordered),
               [](const Grant& grant) { return grant.kind != Grant::Kind::kUser; });
  std::copy_if(acl.grants.begin(), acl.grants.end(), std::back_inserter(ordered),
               [](const Grant& grant) { return grant.kind == Grant::Kind::kUser; });
  for (const Grant& grant : ordered) {
    xml.open("Grant");
    if (grant.kind == Grant::Kind::kUser) {
      xml.open("Grantee", kXsi)
          .element("ID", grant.canonical_id)
          .element("DisplayName", name_of(grant.canonical_id))
          .close();
    } else {
      xml.open("Grantee", kXsiGroup).element("URI", group_uri(grant.kind)).close();
    }
    xml.element("Permission", name(grant.permission)).close();
  }
  return xml.finish();
}

Service::Done Service::get_acl(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  Owner owner = bucket.owner;
  Acl acl = bucket.acl;
  if (call.key.empty()) {
    CO_ASK(require(call, bucket, "", "s3:GetBucketAcl"));
  } else {
    ObjectVersion version = CO_ASK(
        co_await find_for_read(call, *txn, bucket, call.key, id, id ? "s3:GetObjectVersionAcl" : "s3:GetObjectAcl"));
    if (version.delete_marker)
      co_return refuse(
          Failure(id ? ErrorCode::kMethodNotAllowed : ErrorCode::kNoSuchKey).header("x-amz-delete-marker", "true"));
    owner = version.owner;
    acl = version.acl;
    if (bucket.versioning != Versioning::kUnversioned) call.response.set("x-amz-version-id", version.version_id());
  }
  txn.reset();
  if (bucket.ownership == Ownership::kBucketOwnerEnforced) {
    owner = bucket.owner;
    acl = *canned_acl("private", bucket.owner, bucket.owner);
  }
  std::map<std::string, std::string> names;
  names[owner.canonical_id] = co_await display_name(owner.canonical_id);
  for (const Grant& grant : acl.grants)
    if (grant.kind == Grant::Kind::kUser) names[grant.canonical_id] = co_await display_name(grant.canonical_id);
  co_return co_await send_xml(call, 200, acl_document(owner, acl, names));
}

Task<Answer<Acl>> Service::parse_acl(const XmlElement& document, Owner* owner) {
  if (document.name != "AccessControlPolicy") co_return refuse(ErrorCode::kMalformedAcl);
  if (const XmlElement* named = document.child("Owner")) {
    std::string_view id = named->text_of("ID");
    if (!id.empty() && id != owner->canonical_id)
      co_return refuse(ErrorCode::kAccessDenied, "The owner of a resource cannot be changed by its ACL");
  }
  const XmlElement* list = document.child("AccessControlList");
  if (!list) co_return refuse(ErrorCode::kMalformedAcl);
  if (list->children.size() > kGrantsMax) co_return refuse(ErrorCode::kMalformedAcl, "An ACL has at most 100 grants");
  Acl acl;
  for (const XmlElement& element : list->children) {
    const XmlElement* grantee = element.child("Grantee");
    auto permission = permission_named(element.text_of("Permission"));
    if (element.name != "Grant" || !grantee || !permission) co_return refuse(ErrorCode::kMalformedAcl);
    Grant grant{.permission = *permission};
    if (const XmlElement* uri = grantee->child("URI")) {
      auto kind = group_of(uri->text);
      if (!kind) co_return refuse(ErrorCode::kInvalidArgument, "Invalid group uri");
      grant.kind = *kind;
    } else if (const XmlElement* email = grantee->child("EmailAddress")) {
      auto account = co_await directory_.find_account(email->text);
      if (!account || email->text.find('@') == std::string::npos)
        co_return refuse(ErrorCode::kUnresolvableGrantByEmailAddress);
      grant.canonical_id = account->canonical_id;
    } else {
      grant.canonical_id = grantee->text_of("ID");
      auto account = co_await directory_.find_account(grant.canonical_id);
      if (!account) co_return refuse(ErrorCode::kInvalidArgument, "Invalid id");
    }
    acl.grants.push_back(std::move(grant));
  }
  co_return acl;
}

Task<Answer<std::optional<Acl>>> Service::acl_of_headers(Call& call, const Owner& owner, const Owner& bucket_owner) {
  std::string_view canned = call.header("x-amz-acl");
  static constexpr std::pair<std::string_view, Permission> kGrantHeaders[] = {
      {"x-amz-grant-read", Permission::kRead},
      {"x-amz-grant-write", Permission::kWrite},
      {"x-amz-grant-read-acp", Permission::kReadAcp},
      {"x-amz-grant-write-acp", Permission::kWriteAcp},
      {"x-amz-grant-full-control", Permission::kFullControl},
  };
  Acl acl;
  for (const auto& [header, permission] : kGrantHeaders) {
    std::string_view list = call.header(header), element;
    while (http::next_list_element(list, element)) {
      size_t equals = element.find('=');
      if (equals == element.npos) co_return refuse(ErrorCode::kInvalidArgument, "Argument format not recognized");
      std::string kind = base::lower(http::trim_blanks(element.substr(0, equals)));
      std::string_view value = http::trim_blanks(element.substr(equals + 1));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      Grant grant{.permission = permission};
      if (kind == "uri") {
        auto group = group_of(value);
        if (!group) co_return refuse(ErrorCode::kInvalidArgument, "Invalid group uri");
        grant.kind = *group;
      } else if (kind == "id" || kind == "emailaddress") {
        auto account = co_await directory_.find_account(std::string(value));
        if (!account)
          co_return refuse(kind == "id" ? Failure(ErrorCode::kInvalidArgument, "Invalid id")
                                        : Failure(ErrorCode::kUnresolvableGrantByEmailAddress));
        grant.canonical_id = account->canonical_id;
      } else {
        co_return refuse(ErrorCode::kInvalidArgument, "Argument format not recognized");
      }
      acl.grants.push_back(std::move(grant));
      if (acl.grants.size() > kGrantsMax)
        co_return refuse(ErrorCode::kInvalidArgument, "An ACL has at most 100 grants");
    }
  }
  if (!canned.empty()) {
    if (!acl.grants.empty())
      co_return refuse(ErrorCode::kInvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed");
    auto found = canned_acl(canned, owner, bucket_owner);
    if (!found)
      co_return refuse(ErrorCode::kInvalidArgument,
                       "The canned ACL " + std::string(canned.substr(0, 64)) + " is unknown");
    co_return std::optional<Acl>(std::move(*found));
  }
  if (acl.grants.empty()) co_return std::optional<Acl>();
  co_return std::optional<Acl>(std::move(acl));
}

Service::Done Service::put_acl(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  Owner owner = bucket.owner;
  if (call.key.empty()) {
    CO_ASK(require(call, bucket, "", "s3:PutBucketAcl"));
  } else {
    ObjectVersion version = CO_ASK(
        co_await find_for_read(call, *txn, bucket, call.key, id, id ? "s3:PutObjectVersionAcl" : "s3:PutObjectAcl"));
    if (version.delete_marker)
      co_return refuse(Failure(ErrorCode::kMethodNotAllowed).header("x-amz-delete-marker", "true"));
    owner = version.owner;
  }
  txn.reset();

  auto from_headers = CO_ASK(co_await acl_of_headers(call, owner, bucket.owner));
  Acl acl;
  if (from_headers) {
    acl = std::move(*from_headers);
  } else {
    XmlElement document = CO_ASK(co_await read_xml(call, 256 * 1024));
    acl = CO_ASK(co_await parse_acl(document, &owner));
  }
  if (bucket.ownership == Ownership::kBucketOwnerEnforced) {
    if (call.header("x-amz-acl") != "bucket-owner-full-control")
      co_return refuse(ErrorCode::kAccessControlListNotSupported);
    co_return co_await send_empty(call, 200);
  }
  if (bucket.public_access_block && bucket.public_access_block->block_acls && is_public(acl))
    co_return refuse(ErrorCode::kAccessDenied, "The public access block refuses public ACLs");
  if (call.key.empty()) {
    CO_ASK(co_await change([&](Write& write) {
      return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
        one.acl = acl;
        return {};
      });
    }));
  } else {
    CO_ASK(co_await change([&](Write& write) {
      return engine_.update_version(write, bucket.id, call.key, id, [&](ObjectVersion& one) -> Answer<void> {
        one.acl = acl;
        return {};
      });
    }));
  }
  co_return co_await send_empty(call, 200);
}

// --- tags

Service::Done Service::get_tagging(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  if (call.key.empty()) {
    CO_ASK(require(call, bucket, "", "s3:GetBucketTagging"));
    if (bucket.tags.empty()) co_return refuse(Failure(ErrorCode::kNoSuchTagSet).detail("BucketName", bucket.name));
    co_return co_await send_xml(call, 200, tagging_document(bucket.tags));
  }
  ObjectVersion version = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id,
                                                        id ? "s3:GetObjectVersionTagging" : "s3:GetObjectTagging"));
  if (version.delete_marker)
    co_return refuse(
        Failure(id ? ErrorCode::kMethodNotAllowed : ErrorCode::kNoSuchKey).header("x-amz-delete-marker", "true"));
  if (bucket.versioning != Versioning::kUnversioned) call.response.set("x-amz-version-id", version.version_id());
  co_return co_await send_xml(call, 200, tagging_document(version.tags));
}

Service::Done Service::put_tagging(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  if (call.key.empty()) CO_ASK(require(call, bucket, "", "s3:PutBucketTagging"));
  XmlElement document = CO_ASK(co_await read_xml(call, 256 * 1024));
  Tags tags = CO_ASK(parse_tagging(document, call.key.empty() ? kBucketTagsMax : kTagsMax));
  if (call.key.empty()) {
    txn.reset();
    CO_ASK(co_await change([&](Write& write) {
      return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
        one.tags = tags;
        return {};
      });
    }));
    co_return co_await send_empty(call, 200);
  }
  ObjectVersion version = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id,
                                                        id ? "s3:PutObjectVersionTagging" : "s3:PutObjectTagging",
                                                        {.request_tags = &tags}));
  if (version.delete_marker)
    co_return refuse(Failure(ErrorCode::kMethodNotAllowed).header("x-amz-delete-marker", "true"));
  txn.reset();
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<ObjectVersion>> {
    const Bucket now = CO_ASK(co_await bucket_for_change(write, call));
    ObjectVersion changed = CO_ASK(co_await engine_.update_version(
        write, bucket.id, call.key, id, [&](ObjectVersion& one) -> Answer<void> {
          one.tags = tags;
          return {};
        }));
    CO_ASK(engine_.remind(write, now, call.key));
    co_return changed;
  }));
  if (bucket.versioning != Versioning::kUnversioned) call.response.set("x-amz-version-id", version.version_id());
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_tagging(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  if (call.key.empty()) {
    CO_ASK(require(call, bucket, "", "s3:PutBucketTagging"));
    txn.reset();
    CO_ASK(co_await change([&](Write& write) {
      return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
        one.tags.clear();
        return {};
      });
    }));
    co_return co_await send_empty(call, 204);
  }
  ObjectVersion version = CO_ASK(co_await find_for_read(
      call, *txn, bucket, call.key, id, id ? "s3:DeleteObjectVersionTagging" : "s3:DeleteObjectTagging"));
  if (version.delete_marker)
    co_return refuse(Failure(ErrorCode::kMethodNotAllowed).header("x-amz-delete-marker", "true"));
  txn.reset();
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<ObjectVersion>> {
    const Bucket now = CO_ASK(co_await bucket_for_change(write, call));
    ObjectVersion changed = CO_ASK(co_await engine_.update_version(
        write, bucket.id, call.key, id, [](ObjectVersion& one) -> Answer<void> {
          one.tags.clear();
          return {};
        }));
    CO_ASK(engine_.remind(write, now, call.key));
    co_return changed;
  }));
  if (bucket.versioning != Versioning::kUnversioned) call.response.set("x-amz-version-id", version.version_id());
  co_return co_await send_empty(call, 204);
}

// --- bucket policy

Service::Done Service::get_policy(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketPolicy", &bucket));
  if (bucket.policy.empty())
    co_return refuse(Failure(ErrorCode::kNoSuchBucketPolicy).detail("BucketName", bucket.name));
  call.response.status(200);
  CO_ASK(co_await call.response.send("application/json", bucket.policy));
  co_return Answer<void>();
}

Service::Done Service::put_policy(Call& call) {
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, "", "s3:PutBucketPolicy"));
  std::string text = CO_ASK(co_await read_text(call, kPolicyBytesMax));
  auto parsed = auth::Policy::parse(text, auth::PolicyKind::kResource);
  if (!parsed) co_return refuse(ErrorCode::kMalformedPolicy, parsed.error().message());
  // "arn:aws:s3:::*" means every bucket, this one too.
  if (!(*parsed)->resources_within(bucket_arn(bucket.name)) && !(*parsed)->resources_within(bucket_arn("*")))
    co_return refuse(ErrorCode::kMalformedPolicy, "Policy has invalid resource");
  if (!(*parsed)->actions_within("s3")) co_return refuse(ErrorCode::kMalformedPolicy, "Policy has invalid action");
  if (bucket.public_access_block && bucket.public_access_block->block_policy && auth::is_public(**parsed))
    co_return refuse(ErrorCode::kAccessDenied, "The public access block refuses public policies");
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.policy = text;
      one.policy_binds_root = http::equal_ignoring_case(call.header("x-amz-confirm-remove-self-bucket-access"), "true");
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

Service::Done Service::delete_policy(Call& call) {
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, "", "s3:DeleteBucketPolicy"));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
      one.policy.clear();
      one.policy_binds_root = false;
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

Service::Done Service::get_policy_status(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketPolicyStatus", &bucket));
  const auth::Policy* policy = CO_ASK(policy_of(bucket));
  bool open = (policy && auth::is_public(*policy)) || is_public(bucket.acl);
  XmlWriter xml("PolicyStatus");
  xml.element("IsPublic", open);
  co_return co_await send_xml(call, 200, xml.finish());
}

// --- CORS

Service::Done Service::get_cors(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketCORS", &bucket));
  if (bucket.cors.empty())
    co_return refuse(Failure(ErrorCode::kNoSuchCorsConfiguration).detail("BucketName", bucket.name));
  XmlWriter xml("CORSConfiguration");
  for (const CorsRule& rule : bucket.cors) {
    xml.open("CORSRule");
    if (!rule.id.empty()) xml.element("ID", rule.id);
    for (const std::string& one : rule.methods) xml.element("AllowedMethod", one);
    for (const std::string& one : rule.origins) xml.element("AllowedOrigin", one);
    for (const std::string& one : rule.headers) xml.element("AllowedHeader", one);
    for (const std::string& one : rule.expose) xml.element("ExposeHeader", one);
    if (rule.max_age_s) xml.element("MaxAgeSeconds", *rule.max_age_s);
    xml.close();
  }
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_cors(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketCORS", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  std::vector<CorsRule> rules = CO_ASK(parse_cors(document));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.cors = rules;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_cors(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketCORS", &bucket));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
      one.cors.clear();
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

Task<void> Service::add_cors_headers(Call& call) {
  if (call.bucket.empty()) co_return;
  auto txn = co_await begin();
  if (!txn) co_return;
  auto bucket = co_await engine_.bucket(**txn, call.bucket);
  if (!bucket) co_return;
  std::string_view origin = call.header("origin");
  // Inside a plain request the method is the request's own; a browser that announces another one asks about that.
  std::string_view method = call.request.method_text();
  if (call.has_header("access-control-request-method")) method = call.header("access-control-request-method");
  std::string_view headers = call.header("access-control-request-headers");
  if (const CorsRule* rule = cors_rule(*bucket, origin, method, headers))
    set_cors_headers(call.response, *rule, origin, headers);
}

Service::Done Service::preflight(Call& call) {
  std::string_view origin = call.header("origin"), method = call.header("access-control-request-method");
  if (origin.empty() || method.empty())
    co_return refuse(ErrorCode::kBadRequest,
                     "Insufficient information. Origin and Access-Control-Request-Method request headers are needed.");
  if (call.bucket.empty())
    co_return refuse(ErrorCode::kAccessDenied, "CORSResponse: CORS is not enabled for this resource.");
  auto txn = CO_ASK(co_await begin());
  auto bucket = co_await engine_.bucket(*txn, call.bucket);
  txn.reset();
  const CorsRule* rule =
      bucket ? cors_rule(*bucket, origin, method, call.header("access-control-request-headers")) : nullptr;
  if (!rule) co_return refuse(ErrorCode::kAccessDenied, "CORSResponse: This CORS request is not allowed.");
  set_cors_headers(call.response, *rule, origin, call.header("access-control-request-headers"));
  co_return co_await send_empty(call, 200);
}

// --- public access block, ownership, request payment

Service::Done Service::get_public_access_block(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketPublicAccessBlock", &bucket));
  if (!bucket.public_access_block)
    co_return refuse(Failure(ErrorCode::kNoSuchPublicAccessBlockConfiguration).detail("BucketName", bucket.name));
  const PublicAccessBlock& block = *bucket.public_access_block;
  XmlWriter xml("PublicAccessBlockConfiguration");
  xml.element("BlockPublicAcls", block.block_acls).element("IgnorePublicAcls", block.ignore_acls);
  xml.element("BlockPublicPolicy", block.block_policy).element("RestrictPublicBuckets", block.restrict_buckets);
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_public_access_block(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketPublicAccessBlock", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  if (document.name != "PublicAccessBlockConfiguration") co_return refuse(ErrorCode::kMalformedXml);
  PublicAccessBlock block{.block_acls = truth(document, "BlockPublicAcls"),
                          .ignore_acls = truth(document, "IgnorePublicAcls"),
                          .block_policy = truth(document, "BlockPublicPolicy"),
                          .restrict_buckets = truth(document, "RestrictPublicBuckets")};
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.public_access_block = block;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_public_access_block(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketPublicAccessBlock", &bucket));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
      one.public_access_block.reset();
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

Service::Done Service::get_ownership(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketOwnershipControls", &bucket));
  if (bucket.ownership == Ownership::kUnset)
    co_return refuse(Failure(ErrorCode::kOwnershipControlsNotFound).detail("BucketName", bucket.name));
  XmlWriter xml("OwnershipControls");
  xml.open("Rule").element("ObjectOwnership", name(bucket.ownership)).close();
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_ownership(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketOwnershipControls", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  const XmlElement* rule = document.child("Rule");
  if (document.name != "OwnershipControls" || !rule || document.children.size() != 1)
    co_return refuse(ErrorCode::kMalformedXml);
  Ownership ownership = Ownership::kUnset;
  for (Ownership one : {Ownership::kBucketOwnerEnforced, Ownership::kBucketOwnerPreferred, Ownership::kObjectWriter})
    if (name(one) == rule->text_of("ObjectOwnership")) ownership = one;
  if (ownership == Ownership::kUnset) co_return refuse(ErrorCode::kMalformedXml);
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      bool others = std::any_of(one.acl.grants.begin(), one.acl.grants.end(), [&](const Grant& grant) {
        return grant.kind != Grant::Kind::kUser || grant.canonical_id != one.owner.canonical_id;
      });
      if (ownership == Ownership::kBucketOwnerEnforced && others)
        return refuse(ErrorCode::kInvalidBucketAclWithObjectOwnership);
      one.ownership = ownership;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_ownership(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketOwnershipControls", &bucket));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
      one.ownership = Ownership::kUnset;
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

Service::Done Service::get_request_payment(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketRequestPayment", &bucket));
  XmlWriter xml("RequestPaymentConfiguration");
  xml.element("Payer", bucket.requester_pays ? "Requester" : "BucketOwner");
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_request_payment(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketRequestPayment", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  std::string_view payer = document.text_of("Payer");
  if (document.name != "RequestPaymentConfiguration" || (payer != "Requester" && payer != "BucketOwner"))
    co_return refuse(ErrorCode::kMalformedXml);
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.requester_pays = payer == "Requester";
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

// --- settings that are not offered yet

Service::Done Service::absent_setting(Call& call) {
  struct Absent {
    std::string_view parameter, action;
    std::optional<ErrorCode> code;  // nothing: an empty document says that it is off
    std::string_view root;
  };
  static constexpr Absent kAbsent[] = {
      {"website", "s3:GetBucketWebsite", ErrorCode::kNoSuchWebsiteConfiguration, ""},
      {"replication", "s3:GetReplicationConfiguration", ErrorCode::kReplicationConfigurationNotFound, ""},
      {"notification", "s3:GetBucketNotification", std::nullopt, "NotificationConfiguration"},
      {"logging", "s3:GetBucketLogging", std::nullopt, "BucketLoggingStatus"},
      {"accelerate", "s3:GetAccelerateConfiguration", std::nullopt, "AccelerateConfiguration"},
      {"torrent", "s3:GetObjectTorrent", ErrorCode::kNoSuchKey, ""},
  };
  const Absent* absent = std::find_if(std::begin(kAbsent), std::end(kAbsent),
                                      [&](const Absent& one) { return call.query.has(one.parameter); });
  POLIS_ASSERT(absent != std::end(kAbsent));
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, call.key, absent->action));
  if (absent->code) co_return refuse(Failure(*absent->code).detail("BucketName", bucket.name));
  XmlWriter xml(absent->root);
  co_return co_await send_xml(call, 200, xml.finish());
}

// Deleting what no bucket has succeeds, as deleting twice does.
Service::Done Service::delete_absent_setting(Call& call) {
  static constexpr std::pair<std::string_view, std::string_view> kActions[] = {
      {"website", "s3:DeleteBucketWebsite"},
      {"replication", "s3:PutReplicationConfiguration"},
  };
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  for (const auto& [parameter, action] : kActions)
    if (call.query.has(parameter)) CO_ASK(require(call, bucket, "", action));
  co_return co_await send_empty(call, 204);
}

}  // namespace polis::object
