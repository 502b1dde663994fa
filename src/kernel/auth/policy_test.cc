#include "kernel/auth/policy.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "kernel/base/random.h"

namespace polis::auth {
namespace {

Principal caller(const std::string& name) {
  if (name == "anonymous") return {};
  Principal principal;
  bool second = name == "bob" || name == "root2";
  principal.account_id = name == "admin" ? "999" : second ? "222" : "111";
  principal.canonical_id = "canonical-" + principal.account_id;
  principal.root = name.starts_with("root");
  principal.administrator = name == "admin";
  principal.user_name = name;
  principal.user_id = "AIDA" + name;
  principal.arn = "arn:aws:iam::" + principal.account_id + (principal.root ? ":root" : ":user/" + name);
  return principal;
}

PolicyPtr parse(std::string_view text, PolicyKind kind) {
  auto policy = Policy::parse(text, kind);
  EXPECT_TRUE(policy) << text << "\n" << (policy ? "" : policy.error().text());
  return policy ? *policy : nullptr;
}

std::string unescape_blanks(std::string text) {
  for (size_t at; (at = text.find("%20")) != std::string::npos;) text.replace(at, 3, " ");
  return text;
}

std::string verdict(const Decision& decision) {
  if (decision.allowed()) return "allowed";
  return decision.outcome == Decision::Outcome::kDeniedExplicitly ? "denied" : "none";
}

// Runs policy_cases.txt, whose head describes its form.
class CaseFile {
 public:
  void run(std::istream& file) {
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      if (line.empty() || line.starts_with('#')) continue;
      SCOPED_TRACE("policy_cases.txt:" + std::to_string(number) + ": " + title_);
      take(line);
    }
  }
  int requests() const { return requests_; }

 private:
  void take(const std::string& line) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first == "===") {
      title_ = line.substr(4);
      identity_.clear();
      resource_.clear();
    } else if (first == "identity" || first == "resource") {
      open_ = first == "identity" ? &identity_ : &resource_;
      *open_ = line.substr(first.size() + 1);
    } else if (first == "invalid") {
      auto policy = Policy::parse(*open_, open_ == &identity_ ? PolicyKind::kIdentity : PolicyKind::kResource);
      ASSERT_FALSE(policy) << *open_;
      EXPECT_EQ(policy.error().code(), Code::kInvalid);
      EXPECT_NE(policy.error().message().find(line.substr(8)), std::string::npos) << policy.error().message();
      open_->clear();
    } else if (first == "public" || first == "private") {
      PolicyPtr policy = parse(resource_, PolicyKind::kResource);
      ASSERT_TRUE(policy);
      EXPECT_EQ(is_public(*policy), first == "public");
    } else if (first == "allowed" || first == "denied" || first == "none") {
      request(first, words);
    } else {
      ASSERT_NE(open_, nullptr) << line;
      *open_ += "\n" + line;
    }
  }

  void request(const std::string& expected, std::istream& words) {
    std::string by, action, resource, owner = "111", word;
    words >> by >> action >> resource;
    Context context;
    while (words >> word) {
      size_t equals = word.find('=');
      ASSERT_NE(equals, std::string::npos) << word;
      std::string key = word.substr(0, equals), value = unescape_blanks(word.substr(equals + 1));
      if (key == "owner")
        owner = value;
      else
        context.add(key, value);
    }
    ASSERT_TRUE(by.starts_with("by="));
    Principal principal = caller(by.substr(3));
    if (!identity_.empty()) principal.policies.push_back({"attached", parse(identity_, PolicyKind::kIdentity)});
    PolicyPtr resource_policy = resource_.empty() ? nullptr : parse(resource_, PolicyKind::kResource);
    AccessRequest access{&principal, action, resource, owner, &context};
    Decision decision = evaluate(access, resource_policy.get());
    EXPECT_EQ(verdict(decision), expected)
        << by << " " << action << " " << resource << ", decided by " << decision.policy << " " << decision.statement;
    EXPECT_EQ(authorize(access, resource_policy.get()).has_value(), decision.allowed());
    ++requests_;
  }

  std::string title_, identity_, resource_;
  std::string* open_ = nullptr;
  int requests_ = 0;
};

TEST(Policy, the_cases_of_the_case_file_hold) {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path() / "policy_cases.txt");
  ASSERT_TRUE(file);
  CaseFile cases;
  cases.run(file);
  EXPECT_GT(cases.requests(), 150);
}

TEST(Policy, a_decision_names_what_decided) {
  Principal alice = caller("alice");
  alice.policies.push_back(
      {"readers",
       parse(
           R"({"Statement":[{"Effect":"Deny","Action":"a:X","Resource":"*"},{"Sid":"Read","Effect":"Allow","Action":"a:*","Resource":"*"}]})",
           PolicyKind::kIdentity)});
  Decision allowed = evaluate({.principal = &alice, .action = "a:Y", .resource = "*"}, nullptr);
  EXPECT_EQ(allowed.policy, "readers");
  EXPECT_EQ(allowed.statement, "Read");
  Decision denied = evaluate({.principal = &alice, .action = "a:X", .resource = "*"}, nullptr);
  EXPECT_EQ(denied.statement, "#1");
  auto error = authorize({.principal = &alice, .action = "a:X", .resource = "*"});
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code(), Code::kDenied);
  EXPECT_EQ(error.error().message(),
            "arn:aws:iam::111:user/alice may not a:X on *: an explicit deny (readers, statement #1)");
  Principal nobody;
  EXPECT_EQ(authorize({.principal = &nobody, .action = "a:X", .resource = "*"}).error().code(), Code::kUnauthenticated);
}

TEST(Policy, the_scopes_of_a_token_cap_what_its_user_may) {
  Principal root = caller("root");
  root.scopes = {"s3:Get*", "s3:List*"};
  EXPECT_TRUE(evaluate({.principal = &root, .action = "s3:getObject", .resource = "*"}, nullptr).allowed());
  Decision denied = evaluate({.principal = &root, .action = "s3:PutObject", .resource = "*"}, nullptr);
  EXPECT_EQ(denied.outcome, Decision::Outcome::kDeniedExplicitly);
  EXPECT_EQ(denied.policy, "token scope");
}

TEST(Policy, too_large_and_too_deep_documents_are_refused) {
  std::string padding(kPolicySizeBytesMax, ' ');
  auto large =
      Policy::parse(R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})" + padding, PolicyKind::kIdentity);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kTooLarge);
  EXPECT_FALSE(Policy::parse(std::string(10'000, '['), PolicyKind::kIdentity));
  std::string many = R"({"Statement":[)";
  for (size_t i = 0; i <= kPolicyStatementsMax; ++i)
    many += std::string(i ? "," : "") + R"({"Effect":"Allow","Action":"*","Resource":"*"})";
  EXPECT_FALSE(Policy::parse(many + "]}", PolicyKind::kIdentity));
}

TEST(Policy, a_bucket_policy_stays_within_its_bucket) {
  auto within = [](std::string_view resource) {
    std::string text = R"({"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":")" +
                       std::string(resource) + "\"}}";
    return parse(text, PolicyKind::kResource)->resources_within("arn:aws:s3:::b");
  };
  EXPECT_TRUE(within("arn:aws:s3:::b"));
  EXPECT_TRUE(within("arn:aws:s3:::b/*"));
  EXPECT_TRUE(within("arn:aws:s3:::b*"));
  EXPECT_FALSE(within("arn:aws:s3:::bb"));
  EXPECT_FALSE(within("arn:aws:s3:::c/b"));
  EXPECT_FALSE(within("*"));
  PolicyPtr policy = parse(R"({"Statement":{"Effect":"Allow","Principal":"*","Action":["S3:Get*"],"Resource":"*"}})",
                           PolicyKind::kResource);
  EXPECT_TRUE(policy->actions_within("s3"));
  EXPECT_FALSE(policy->actions_within("iam"));
}

TEST(Policy, the_context_is_only_needed_where_conditions_or_variables_are) {
  Principal alice = caller("alice");
  EXPECT_FALSE(context_needed(alice, nullptr));
  PolicyPtr plain = parse(R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})", PolicyKind::kIdentity);
  alice.policies.push_back({"plain", plain});
  EXPECT_FALSE(context_needed(alice, nullptr));
  alice.policies.push_back(
      {"home",
       parse(
           R"({"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}"}})",
           PolicyKind::kIdentity)});
  EXPECT_TRUE(context_needed(alice, nullptr));
}

TEST(Policy, the_global_keys_describe_caller_peer_and_time) {
  Context context;
  set_global_keys(context, caller("alice"), "10.0.0.9", true, WallTime(std::chrono::seconds(1'717'243'200)));
  EXPECT_EQ(context.find("aws:UserName").at(0), "alice");
  EXPECT_EQ(context.find("aws:sourceip").at(0), "10.0.0.9");
  EXPECT_EQ(context.find("aws:CurrentTime").at(0), "2024-06-01T12:00:00Z");
  EXPECT_EQ(context.find("aws:EpochTime").at(0), "1717243200");
  EXPECT_EQ(context.find("aws:SecureTransport").at(0), "true");
  EXPECT_TRUE(context.find("aws:nothing").empty());
}

// --- properties

// The definition, straight: exponential, but nobody can get it wrong.
bool matches_by_definition(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*')
    return matches_by_definition(pattern.substr(1), text) ||
           (!text.empty() && matches_by_definition(pattern, text.substr(1)));
  if (text.empty()) return false;
  return (pattern[0] == '?' || pattern[0] == text[0]) && matches_by_definition(pattern.substr(1), text.substr(1));
}

std::string random_text(base::SeededRandom& random, std::string_view alphabet, size_t size_max) {
  std::string text(random.below(size_max + 1), ' ');
  for (char& c : text) c = alphabet[random.below(alphabet.size())];
  return text;
}

TEST(Policy, wildcards_match_as_their_definition_says) {
  base::SeededRandom random(1);
  int matched = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string pattern = random_text(random, "aab*?", 8), text = random_text(random, "aab", 8);
    bool expected = matches_by_definition(pattern, text);
    matched += expected;
    ASSERT_EQ(matches_wildcard(pattern, text), expected) << pattern << " on " << text;
  }
  EXPECT_GT(matched, 5'000);
}

TEST(Policy, a_hostile_pattern_takes_no_exponential_time) {
  std::string pattern, text(1024, 'a');
  for (int i = 0; i < 512; ++i) pattern += "*a";
  EXPECT_FALSE(matches_wildcard(pattern + "b", text));
}

TEST(Policy, adding_a_deny_never_allows_and_adding_an_allow_never_denies) {
  base::SeededRandom random(2);
  auto statement = [&](const char* effect) {
    static constexpr const char* kActions[] = {"a:*", "a:x", "a:y", "*"};
    static constexpr const char* kResources[] = {"*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k", "arn:aws:s3:::c"};
    static constexpr const char* kPrincipals[] = {R"("*")", R"({"AWS":"111"})", R"({"AWS":"222"})",
                                                  R"({"AWS":"arn:aws:iam::111:user/alice"})"};
    return std::string(R"({"Effect":")") + effect + R"(","Principal":)" + kPrincipals[random.below(4)] +
           R"(,"Action":")" + kActions[random.below(4)] + R"(","Resource":")" + kResources[random.below(4)] + "\"}";
  };
  for (int i = 0; i < 3'000; ++i) {
    std::string statements = statement(random.chance(1, 2) ? "Allow" : "Deny") + "," + statement("Allow");
    PolicyPtr before = parse(R"({"Statement":[)" + statements + "]}", PolicyKind::kResource);
    PolicyPtr with_deny =
        parse(R"({"Statement":[)" + statements + "," + statement("Deny") + "]}", PolicyKind::kResource);
    PolicyPtr with_allow =
        parse(R"({"Statement":[)" + statement("Allow") + "," + statements + "]}", PolicyKind::kResource);
    for (const char* who : {"alice", "bob", "root", "root2", "anonymous", "admin"}) {
      Principal principal = caller(who);
      AccessRequest request{.principal = &principal,
                            .action = random.chance(1, 2) ? "a:x" : "a:y",
                            .resource = "arn:aws:s3:::b/k",
                            .resource_account = "111"};
      bool allowed = evaluate(request, before.get()).allowed();
      if (!allowed) ASSERT_FALSE(evaluate(request, with_deny.get()).allowed());
      if (allowed) ASSERT_TRUE(evaluate(request, with_allow.get()).allowed());
    }
  }
}

}  // namespace
}  // namespace polis::auth
