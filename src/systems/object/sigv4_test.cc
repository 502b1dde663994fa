#include "systems/object/sigv4.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "kernel/base/text_encoding.h"

namespace polis::object {
namespace {

// The example account and day of the Amazon S3 API Reference.
constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
constexpr std::string_view kAccessKey = "AKIAIOSFODNN7EXAMPLE";
constexpr std::string_view kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr WallTime kExampleTime{std::chrono::seconds(1'369'353'600)};  // 2013-05-24T00:00:00Z
const SigningIdentity kIdentity{.access_key = std::string(kAccessKey), .secret_key = std::string(kSecret)};

struct Request {
  std::string method = "GET";
  std::string target = "/";
  std::vector<OwnedHeader> headers;
  std::vector<HeaderView> views;

  RequestView view() {
    views.clear();
    for (const OwnedHeader& field : headers) views.push_back({field.name, field.value});
    return {method, target, views};
  }
  void add(std::vector<OwnedHeader> more) { headers.insert(headers.end(), more.begin(), more.end()); }
  OwnedHeader& header(std::string_view name) {
    for (OwnedHeader& field : headers)
      if (field.name == name) return field;
    headers.push_back({std::string(name), {}});
    return headers.back();
  }
};

AuthResult<Verified> check(Request& request, WallTime now = kExampleTime, SigningOptions options = {},
                           std::string_view secret = kSecret) {
  auto credentials = find_credentials(request.view(), options);
  if (!credentials) return std::unexpected(credentials.error());
  SigningKeyCache cache;
  return verify(request.view(), *credentials, secret, now, options, cache);
}

std::string code_of(const AuthResult<Verified>& result) {
  return result ? "accepted" : std::string(result.error().code);
}

Request signed_request(std::string target = "/bucket/key",
                       std::vector<OwnedHeader> headers = {{"host", "localhost:9000"}},
                       std::string_view payload = kEmptySha256) {
  Request request{.target = std::move(target), .headers = std::move(headers)};
  request.add(sign(request.view(), kIdentity, payload, kExampleTime));
  return request;
}

struct Example {
  const char* name;
  const char* method;
  const char* target;
  std::vector<OwnedHeader> headers;
  const char* signed_headers;
  const char* signature;
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all = {
      {"get_object",
       "GET",
       "/test.txt",
       {{"Host", "examplebucket.s3.amazonaws.com"},
        {"Range", "bytes=0-9"},
        {"x-amz-content-sha256", std::string(kEmptySha256)},
        {"x-amz-date", "20130524T000000Z"}},
       "host;range;x-amz-content-sha256;x-amz-date",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"put_object",
       "PUT",
       "/test$file.text",
       {{"Host", "examplebucket.s3.amazonaws.com"},
        {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
        {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}},
       "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"get_lifecycle",
       "GET",
       "/?lifecycle",
       {{"Host", "examplebucket.s3.amazonaws.com"},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-content-sha256", std::string(kEmptySha256)}},
       "host;x-amz-content-sha256;x-amz-date",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"list_objects",
       "GET",
       "/?max-keys=2&prefix=J",
       {{"Host", "examplebucket.s3.amazonaws.com"},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-content-sha256", std::string(kEmptySha256)}},
       "host;x-amz-content-sha256;x-amz-date",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  return all;
}

TEST(SigV4, the_examples_of_the_s3_reference_verify) {
  for (const Example& example : examples()) {
    Request request{.method = example.method, .target = example.target, .headers = example.headers};
    request.headers.push_back({"Authorization", "AWS4-HMAC-SHA256 Credential=" + std::string(kAccessKey) +
                                                    "/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
                                                    example.signed_headers + ",Signature=" + example.signature});
    auto result = check(request);
    EXPECT_TRUE(result) << example.name << ": " << code_of(result) << "\n"
                        << (result ? "" : result.error().canonical_request);
  }
}

TEST(SigV4, the_pre_signed_example_of_the_s3_reference_verifies_and_is_what_presign_makes) {
  Request request{.target = "/test.txt", .headers = {{"host", "examplebucket.s3.amazonaws.com"}}};
  std::string target = presign(request.view(), kIdentity, 86'400, kExampleTime);
  EXPECT_TRUE(target.ends_with("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"))
      << target;
  request.target = target;
  EXPECT_EQ(code_of(check(request)), "accepted");
  EXPECT_EQ(code_of(check(request, kExampleTime + std::chrono::hours(24))), "accepted");
  auto late = check(request, kExampleTime + std::chrono::hours(24) + std::chrono::seconds(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().message, "Request has expired");
  EXPECT_EQ(code_of(check(request, kExampleTime - std::chrono::minutes(16))), "AccessDenied");
}

TEST(SigV4, what_sign_makes_verify_accepts) {
  for (std::string target :
       {"/", "/bucket", "/bucket/", "/bucket/key?acl", "/b/a%20b", "/b/a+b", "/b//double", "/b/./..%2Fdots/../x",
        "/b/%C3%A4%E2%82%AC", "/b/k?prefix=a%20b%2Fc&delimiter=%2F&max-keys=3&uploads", "/b/a~b-c_d.e",
        "/b/k?b=2&a=1&b=1", "/b/k?x=%2B&y=a+b&empty=&flag", "/b/(paren)'!*"}) {
    Request request = signed_request(target);
    EXPECT_EQ(code_of(check(request)), "accepted") << target;
  }
}

TEST(SigV4, canonical_forms_follow_the_rules_of_s3) {
  Request request{.target = "/b//a+b/./%7e%2f?uploads&b=2&a=%2f&a=1&B=x",
                  .headers = {{"Host", "  h  "}, {"X-Amz-Meta-A", " one   two "}, {"x-amz-meta-a", "three"}}};
  std::vector<std::string> names = {"host", "x-amz-meta-a"};
  EXPECT_EQ(
      canonical_request(request.view(), names, "HASH"),
      "GET\n/b//a%2Bb/./~/\nB=x&a=%2F&a=1&b=2&uploads=\nhost:h\nx-amz-meta-a:one two,three\n\nhost;x-amz-meta-a\nHASH");
}

TEST(SigV4, a_client_that_signs_its_path_as_written_is_accepted) {
  Request request = signed_request("/bucket/a%3Ab");  // Encoded once, as S3 does.
  request.target = "/bucket/a:b";                     // The same key in another spelling.
  EXPECT_EQ(code_of(check(request)), "accepted");

  // And the other way around: the client signed "a:b" raw.
  Request raw{
      .target = "/bucket/a:b",
      .headers = {{"host", "h"}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}}};
  CredentialScope scope{"20130524", "us-east-1", "s3"};
  std::string canonical =
      "GET\n/bucket/a:b\n\nhost:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20130524T000000Z\n\n"
      "host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD";
  std::string signature = base::hex_encode(
      base::hmac_sha256(derive_signing_key(kSecret, scope), string_to_sign("20130524T000000Z", scope, canonical)));
  raw.headers.push_back({"authorization",
                         "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                         "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" +
                             signature});
  EXPECT_EQ(code_of(check(raw)), "accepted");
}

TEST(SigV4, any_change_of_a_signed_part_is_found) {
  std::vector<OwnedHeader> headers = {{"host", "localhost:9000"}, {"x-amz-meta-a", "1"}};
  std::vector<void (*)(Request&)> changes = {
      [](Request& r) { r.method = "PUT"; },
      [](Request& r) { r.target = "/bucket/kez"; },
      [](Request& r) { r.target += "?acl"; },
      [](Request& r) { r.header("host").value = "localhost:9001"; },
      [](Request& r) { r.header("x-amz-meta-a").value = "2"; },
      [](Request& r) { r.headers.push_back({"x-amz-meta-a", "2"}); },
      [](Request& r) { r.header("x-amz-content-sha256").value = "UNSIGNED-PAYLOAD"; },
      [](Request& r) { r.header("x-amz-date").value = "20130524T000001Z"; },
      [](Request& r) { r.header("authorization").value.back() ^= 1; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Request request = signed_request("/bucket/key", headers);
    ASSERT_EQ(code_of(check(request)), "accepted");
    changes[i](request);
    EXPECT_EQ(code_of(check(request)), "SignatureDoesNotMatch") << "change " << i;
  }
  Request request = signed_request();
  EXPECT_EQ(code_of(check(request, kExampleTime, {}, "another secret")), "SignatureDoesNotMatch");
}

TEST(SigV4, every_amz_header_and_host_must_be_signed) {
  Request request = signed_request();
  request.headers.push_back({"X-Amz-Acl", "public-read"});
  auto result = check(request);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "AccessDenied");
  EXPECT_NE(result.error().message.find("x-amz-acl"), std::string::npos);

  Request presigned{.target = "/b/k", .headers = {{"host", "h"}}};
  presigned.target = presign(presigned.view(), kIdentity, 60, kExampleTime);
  presigned.headers.push_back({"x-amz-content-sha256", std::string(kEmptySha256)});  // What some uploaders add.
  EXPECT_EQ(code_of(check(presigned)), "accepted");
  presigned.headers.push_back({"x-amz-acl", "public-read"});
  EXPECT_EQ(code_of(check(presigned)), "AccessDenied");

  Request without_host{.target = "/b/k", .headers = {{"x-other", "h"}}};
  without_host.add(sign(without_host.view(), kIdentity, kEmptySha256, kExampleTime));
  EXPECT_EQ(code_of(check(without_host)), "AccessDenied");
}

TEST(SigV4, an_unsigned_streaming_mode_cannot_be_slipped_into_a_pre_signed_upload) {
  Request request{.method = "PUT", .target = "/b/k", .headers = {{"host", "h"}}};
  request.target = presign(request.view(), kIdentity, 60, kExampleTime);
  request.headers.push_back({"x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"});
  EXPECT_NE(code_of(check(request)), "accepted");
}

TEST(SigV4, the_clock_may_differ_by_fifteen_minutes) {
  Request request = signed_request();
  for (int sign : {-1, 1}) {
    EXPECT_EQ(code_of(check(request, kExampleTime + sign * std::chrono::minutes(15))), "accepted");
    EXPECT_EQ(code_of(check(request, kExampleTime + sign * (std::chrono::minutes(15) + std::chrono::seconds(1)))),
              "RequestTimeTooSkewed");
  }
}

TEST(SigV4, region_and_service_of_the_scope_are_checked) {
  Request request = signed_request();
  EXPECT_EQ(code_of(check(request, kExampleTime, {.region = "us-east-1"})), "accepted");
  auto result = check(request, kExampleTime, {.region = "eu-west-1"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(result.error().region, "eu-west-1");
  EXPECT_EQ(code_of(check(request, kExampleTime, {.service = "sts"})), "AuthorizationHeaderMalformed");
}

TEST(SigV4, malformed_authorization_headers_are_refused_with_the_codes_of_s3) {
  struct Case {
    const char* value;
    const char* code;
  };
  constexpr const char* kSigned = "SignedHeaders=host, Signature=00";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"AWS4-HMAC-SHA256 ", "AuthorizationHeaderMalformed"},
      {"AWS4-HMAC-SHA256 Credential=a/20130524/us-east-1/s3/aws4_request", "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 ") + kSigned, "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 Credential=a/2013/us-east-1/s3/aws4_request, ") + kSigned,
       "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 Credential=/20130524/us-east-1/s3/aws4_request, ") + kSigned,
       "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 Credential=a/20130524/us-east-1/s3/aws5, ") + kSigned,
       "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 Credential=a/20130525/us-east-1/s3/aws4_request, ") + kSigned,
       "AuthorizationHeaderMalformed"},
      {std::string("AWS4-HMAC-SHA256 Credential=a/20130524/us-east-1/s3/aws4_request, Extra=1, ") + kSigned,
       "AuthorizationHeaderMalformed"},
      {"AWS4-HMAC-SHA256 Credential=a/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;;x, Signature=0",
       "AuthorizationHeaderMalformed"},
      {"AWS4-HMAC-SHA256" + std::string(9000, 'x'), "AuthorizationHeaderMalformed"},
      {"AWS4-HMAC-SHA512 Credential=a", "InvalidArgument"},
      {"Bearer abc", "InvalidArgument"},
      {"", "AccessDenied"},
      {"AWS a:b", "InvalidRequest"},
      {"AWS4-ECDSA-P256-SHA256 Credential=a", "InvalidArgument"},
  };
  for (const auto& [value, code] : cases) {
    Request request{.headers = {{"host", "h"}, {"x-amz-date", "20130524T000000Z"}, {"authorization", value}}};
    EXPECT_EQ(code_of(check(request)), code) << value.substr(0, 100);
  }
  for (const char* date : {"", "2013", "20130524T000000", "20131324T000000Z", "20130230T000000Z", "99990524T000000Z",
                           "20130524T250000Z"}) {
    Request request = signed_request();
    request.header("x-amz-date").value = date;
    EXPECT_EQ(code_of(check(request)), "AccessDenied") << date;
  }
  Request no_hash = signed_request();
  std::erase_if(no_hash.headers, [](const OwnedHeader& field) { return field.name == "x-amz-content-sha256"; });
  EXPECT_EQ(code_of(check(no_hash)), "InvalidRequest");
}

TEST(SigV4, malformed_pre_signed_queries_are_refused_with_the_codes_of_s3) {
  Request request{.target = "/b/k", .headers = {{"host", "h"}}};
  std::string good = presign(request.view(), kIdentity, 60, kExampleTime);
  auto with = [&](std::string_view from, std::string_view to) {
    std::string target = good;
    size_t at = target.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return target.replace(at, from.size(), to);
  };
  for (const std::string& target :
       {with("X-Amz-Expires=60", "X-Amz-Expires=abc"),
        with("X-Amz-Expires=60", "X-Amz-Expires="), with("X-Amz-Expires=60&", ""),
        with("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), with("X-Amz-Date=2013", "X-Amz-Date=x013"),
        with("aws4_request", "aws4"), with("X-Amz-Date=20130524T", "X-Amz-Date=20130525T"), good + "&X-Amz-Expires=60",
        with("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="), good + "&x=%zz"}) {
    request.target = target;
    EXPECT_EQ(code_of(check(request)), "AuthorizationQueryParametersError") << target;
  }
  for (std::string_view seconds : {"0", "-1", "-1000", "604801", "99999999999999999999"}) {
    request.target = with("X-Amz-Expires=60", "X-Amz-Expires=" + std::string(seconds));
    EXPECT_EQ(code_of(check(request)), "AccessDenied") << seconds;
  }
  request.target = good;
  request.headers.push_back({"authorization", "AWS4-HMAC-SHA256 Credential=a"});
  EXPECT_EQ(code_of(check(request)), "InvalidArgument");
  request.headers.pop_back();
  request.target = good + "&versionId=1";
  EXPECT_EQ(code_of(check(request)), "SignatureDoesNotMatch");
}

TEST(SigV4, requests_without_credentials_are_anonymous_whatever_their_query_says) {
  for (const char* target :
       {"/", "/b/k?prefix=X-Amz-Signature%3D", "/b?Expires=1", "/b?prefix=Signature=x", "/b?%zz"}) {
    Request request{.target = target, .headers = {{"host", "h"}}};
    auto credentials = find_credentials(request.view(), {});
    ASSERT_TRUE(credentials) << target;
    EXPECT_EQ(credentials->scheme, AuthScheme::kAnonymous) << target;
  }
}

TEST(SigV4, the_payload_mode_is_what_the_header_names) {
  const std::vector<std::pair<std::string, PayloadMode>> modes = {
      {"UNSIGNED-PAYLOAD", PayloadMode::kUnsigned},
      {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", PayloadMode::kStreamingSigned},
      {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", PayloadMode::kStreamingSignedTrailer},
      {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", PayloadMode::kStreamingUnsignedTrailer},
      {std::string(kEmptySha256), PayloadMode::kHash},
  };
  for (const auto& [text, mode] : modes) {
    Request request = signed_request("/b/k", {{"host", "h"}}, text);
    auto verified = check(request);
    ASSERT_TRUE(verified) << text;
    EXPECT_EQ(verified->payload, mode);
  }
  for (const char* wrong : {"", "unsigned", "e3b0", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}) {
    Request request = signed_request("/b/k", {{"host", "h"}}, wrong);
    EXPECT_EQ(code_of(check(request)), "InvalidArgument") << wrong;
  }
}

TEST(SigV4, a_body_that_is_not_the_signed_one_is_refused) {
  std::string upper(kEmptySha256);
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (std::string hash : {std::string(kEmptySha256), upper}) {
    Request request = signed_request("/b/k", {{"host", "h"}}, hash);
    auto verified = check(request);
    ASSERT_TRUE(verified);
    EXPECT_TRUE(check_payload(*verified, base::sha256(std::string_view{})));
    auto wrong = check_payload(*verified, base::sha256(std::string_view("x")));
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, "XAmzContentSHA256Mismatch");
    EXPECT_EQ(wrong.error().status, 400);
  }
}

TEST(SigV4, the_key_cache_notices_a_new_secret_of_the_same_key) {
  SigningKeyCache cache;
  CredentialScope scope{"20130524", "us-east-1", "s3"};
  SigningKey first = cache.get("AK", "one", scope);
  EXPECT_EQ(first, derive_signing_key("one", scope));
  EXPECT_EQ(cache.get("AK", "two", scope), derive_signing_key("two", scope));
  scope.date = "20130525";
  EXPECT_EQ(cache.get("AK", "two", scope), derive_signing_key("two", scope));
}

TEST(SigV4, a_session_token_is_signed_in_both_forms) {
  SigningIdentity identity = kIdentity;
  identity.session_token = "token/with+chars==";
  Request request{.target = "/b/k", .headers = {{"host", "h"}}};
  request.add(sign(request.view(), identity, kUnsignedPayload, kExampleTime));
  EXPECT_EQ(code_of(check(request)), "accepted");
  EXPECT_EQ(find_credentials(request.view(), {})->security_token, identity.session_token);
  Request url{.target = "/b/k?response-content-type=text%2Fplain", .headers = {{"host", "h"}}};
  url.target = presign(url.view(), identity, 60, kExampleTime);
  EXPECT_EQ(code_of(check(url)), "accepted");
  EXPECT_EQ(find_credentials(url.view(), {})->security_token, identity.session_token);
}

TEST(SigV4, requests_signed_by_botocore_verify) {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path() / "sigv4_botocore.txt");
  ASSERT_TRUE(file);
  std::string line;
  int requests = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line.starts_with('#')) continue;
    WallTime now{std::chrono::seconds(std::stoll(line))};
    Request request;
    std::getline(file, request.method);
    std::getline(file, request.target);
    while (std::getline(file, line) && !line.empty())
      request.headers.push_back({line.substr(0, line.find(':')), line.substr(line.find(':') + 1)});
    auto result = check(request, now, {.version2 = true});
    EXPECT_TRUE(result) << request.method << " " << request.target << "\n" << (result ? "" : result.error().message);
    EXPECT_FALSE(check(request, now, {.version2 = true}, "another secret"));
    ++requests;
  }
  EXPECT_EQ(requests, 80);
}

// --- forms and version 2

TEST(SigV4, the_post_form_example_of_the_s3_reference_verifies) {
  // "Examples: browser-based upload using HTTP POST (AWS Signature Version 4)": policy and signature of 2015-12-29.
  std::string policy =
      "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2"
      "NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMt"
      "cmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29t"
      "L3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4"
      "LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0s"
      "DQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZP"
      "RE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1B"
      "Qy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
  PostFields fields{.policy = policy,
                    .algorithm = "AWS4-HMAC-SHA256",
                    .credential = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
                    .date = "20151229T000000Z",
                    .signature = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"};
  auto credentials = find_post_credentials(fields, {});
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->access_key, kAccessKey);
  SigningKeyCache cache;
  EXPECT_TRUE(verify_post(fields, *credentials, kSecret, cache));
  policy[10] = 'X';
  fields.policy = policy;
  EXPECT_FALSE(verify_post(fields, *credentials, kSecret, cache));
  fields.date = "20151230T000000Z";
  EXPECT_FALSE(find_post_credentials(fields, {}));
  fields.date = {};
  EXPECT_FALSE(find_post_credentials(fields, {}));
}

// The examples of "Signing and authenticating REST requests (AWS signature version 2)".
constexpr WallTime kVersion2Time{std::chrono::seconds(1'175'024'202)};  // Tue, 27 Mar 2007 19:36:42 GMT

TEST(SigV2, the_examples_of_the_reference_verify) {
  SigningOptions options{.domains = {"s3.us-west-1.amazonaws.com", "s3.amazonaws.com"}, .version2 = true};
  struct Case {
    Request request;
    const char* signature;
  };
  std::vector<Case> cases = {
      {{.target = "/photos/puppy.jpg",
        .headers = {{"Host", "awsexamplebucket1.us-west-1.s3.amazonaws.com"},
                    {"Date", "Tue, 27 Mar 2007 19:36:42 +0000"}}},
       "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="},
      {{.method = "PUT",
        .target = "/photos/puppy.jpg",
        .headers = {{"Content-Type", "image/jpeg"},
                    {"Content-Length", "94328"},
                    {"Host", "awsexamplebucket1.s3.us-west-1.amazonaws.com"},
                    {"Date", "Tue, 27 Mar 2007 21:15:45 +0000"}}},
       "iqRzw+ileNPu1fhspnRs8nOjjIA="},
      {{.target = "/?prefix=photos&max-keys=50&marker=puppy",
        .headers = {{"User-Agent", "Mozilla/5.0"},
                    {"Host", "awsexamplebucket1.s3.us-west-1.amazonaws.com"},
                    {"Date", "Tue, 27 Mar 2007 19:42:41 +0000"}}},
       "m0WP8eCtspQl5Ahe6L1SozdX9YA="},
      {{.target = "/?acl",
        .headers = {{"Host", "awsexamplebucket1.s3.us-west-1.amazonaws.com"},
                    {"Date", "Tue, 27 Mar 2007 19:44:46 +0000"}}},
       "82ZHiFIjc+WbcwFKGUVEQspPn+0="},
  };
  cases[0].request.header("Host").value = "awsexamplebucket1.s3.us-west-1.amazonaws.com";
  for (Case& one : cases) {
    one.request.headers.push_back({"Authorization", "AWS AKIAIOSFODNN7EXAMPLE:" + std::string(one.signature)});
    SigningOptions wide = options;
    wide.skew_max = std::chrono::hours(3);
    auto result = check(one.request, kVersion2Time, wide);
    EXPECT_TRUE(result) << one.request.target << " " << code_of(result) << "\n"
                        << (result ? "" : result.error().string_to_sign);
    EXPECT_EQ(code_of(check(one.request, kVersion2Time + std::chrono::hours(6), wide)), "RequestTimeTooSkewed");
    EXPECT_EQ(code_of(check(one.request, kVersion2Time, {.version2 = false})), "InvalidRequest");
  }
}

TEST(SigV2, a_pre_signed_url_holds_until_it_expires) {
  SigningOptions options{.version2 = true};
  Request request{.target = "/bucket/key", .headers = {{"host", "h"}}};
  std::string text = string_to_sign_v2(request.view(), "1175024300", {});
  EXPECT_EQ(text, "GET\n\n\n1175024300\n/bucket/key");
  std::string signature = base::base64_encode(base::hmac_sha1(as_bytes(kSecret), as_bytes(text)));
  request.target += "?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175024300&Signature=" + base::url_encode(signature);
  EXPECT_EQ(code_of(check(request, kVersion2Time, options)), "accepted");
  EXPECT_EQ(code_of(check(request, kVersion2Time + std::chrono::seconds(99), options)), "AccessDenied");
  request.method = "PUT";
  EXPECT_EQ(code_of(check(request, kVersion2Time, options)), "SignatureDoesNotMatch");
  // A bucket is "/bucket" on the wire and "/bucket/" in the signature of some clients.
  Request bucket{.target = "/bucket?acl", .headers = {{"host", "h"}, {"date", "Tue, 27 Mar 2007 19:36:42 +0000"}}};
  Request slashed = bucket;
  slashed.target = "/bucket/?acl";
  std::string slashed_signature = base::base64_encode(base::hmac_sha1(
      as_bytes(kSecret), as_bytes(string_to_sign_v2(slashed.view(), "Tue, 27 Mar 2007 19:36:42 +0000", {}))));
  bucket.headers.push_back({"authorization", "AWS AKIAIOSFODNN7EXAMPLE:" + slashed_signature});
  SigningOptions wide{.version2 = true, .skew_max = std::chrono::hours(3)};
  EXPECT_EQ(code_of(check(bucket, kVersion2Time, wide)), "accepted");
  bucket.target = "/bucket?policy";
  EXPECT_EQ(code_of(check(bucket, kVersion2Time, wide)), "SignatureDoesNotMatch");

  request.target = "/bucket/key?AWSAccessKeyId=A&Expires=soon&Signature=x";
  EXPECT_EQ(code_of(check(request, kVersion2Time, options)), "AccessDenied");
  request.target = "/bucket/key?AWSAccessKeyId=A&Signature=x";
  EXPECT_EQ(code_of(check(request, kVersion2Time, options)), "AccessDenied");
}

}  // namespace
}  // namespace polis::object
