// The S3 port from outside: a real server on a loopback port of its own, signed requests, two shards.
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/auth/directory.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "kernel/blob/extent_blob.h"
#include "kernel/http/client.h"
#include "kernel/store/rocks_store.h"
#include "systems/object/server.h"

namespace polis::object {
namespace {

using testing::HasSubstr;

struct Reply {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;
};

class S3Port : public testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = new World(); }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  struct Asked {
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> headers;
    bool anonymous = false;
    std::string secret = {};  // another than the right one
    bool writer =
        false;  // by the user "writer" instead of root: PutObject and GetObject, and CreateBucket, are all he may
  };
  static Reply ask(Asked asked) { return world_->ask(std::move(asked)); }
  static Reply ask(std::string method, std::string target, std::string body = {}) {
    return world_->ask({std::move(method), std::move(target), std::move(body)});
  }
  // Runs `work(store::Txn&, store::Keyspace, const Engine&) -> Task<bool>` on the rows and commits.
  template <class F>
  static bool with_rows(F work) {
    return world_->runtime.call(0, [&]() -> Task<bool> {
      auto txn = (co_await world_->store->begin()).value();
      bool done = co_await work(*txn, world_->store->keyspace("object").value(), world_->server->engine());
      co_return done && (co_await txn->commit()).has_value();
    });
  }

 private:
  struct World {
    World() : runtime({.shards = 2, .blocking_threads = 4}) {
      std::string pattern = (std::filesystem::temp_directory_path() / "polis-s3-XXXXXX").string();
      POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
      directory_path = pattern;
      store = store::RocksStore::open({.directory = directory_path + "/store"}).value();
      auto keyspace = store->keyspace("object").value();
      runtime.start();
      runtime.call(0, [&, keyspace] { return open(keyspace); });
    }
    ~World() {
      runtime.call(0, [&] { return close(); });
      runtime.stop();
      store.reset();
      std::error_code ignored;
      std::filesystem::remove_all(directory_path, ignored);
    }

    Task<bool> open(store::Keyspace keyspace) {
      blob::ExtentBlobOptions options;
      for (int i = 0; i < 6; ++i) options.drives.push_back(directory_path + "/drive" + std::to_string(i));
      blob = (co_await blob::ExtentBlob::open(*disk, options, random)).value();
      directory = (co_await auth::Directory::open(*store, *disk, clock, random,
                                                  {.keys_directory = directory_path + "/keys", .shards = 2}))
                      .value();
      root = (co_await directory->bootstrap({.password = "a long password"})).value().value();
      auth::Actor system{.principal = auth::internal_principal("test")};
      auth::User user = (co_await directory->create_user(system, {.name = "writer"})).value();
      (void)(co_await directory->put_user_policy(
                 system, user.id, "writes",
                 R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*",)"
                 R"("Action":["s3:PutObject","s3:GetObject","s3:CreateBucket"]}]})"))
          .value();
      writer = (co_await directory->create_access_key(system, user.id)).value();
      ServiceOptions service;
      service.domains = {"s3.local"};
      service.encryption_key = SecretKey::make(random);
      service.insecure_ssec = true;
      server = std::make_unique<Server>(runtime, *store, keyspace, *blob, *directory, clock, random, service);
      port = (co_await server->start(io::Endpoint::parse("127.0.0.1:0").value())).value();
      client = std::make_unique<http::Client>();
      co_return true;
    }
    Task<bool> close() {
      client.reset();
      co_await server->stop(std::chrono::seconds(1));
      server.reset();
      directory.reset();
      (void)co_await blob->close();
      blob.reset();
      (void)co_await store->close();
      co_return true;
    }

    Reply ask(Asked asked) {
      return runtime.call(0, [&] { return send(asked); });
    }
    Task<Reply> send(const Asked& asked) {
      std::string host = "127.0.0.1:" + std::to_string(port);
      for (const auto& [name, value] : asked.headers)
        if (name == "host") host = value;
      std::vector<HeaderView> headers = {{"host", host}};
      for (const auto& [name, value] : asked.headers)
        if (name != "host") headers.push_back({name, value});
      RequestView view{.method = asked.method, .target = asked.target, .headers = headers};
      SigningIdentity identity{.access_key = root.access_key,
                               .secret_key = asked.secret.empty() ? root.secret_key : asked.secret};
      if (asked.writer) identity = {.access_key = writer.id, .secret_key = writer.secret};
      http::ClientRequest request{
          .method = asked.method,
          .url = http::Url::parse("http://127.0.0.1:" + std::to_string(port) + asked.target).value(),
          .fields = asked.headers,
          .body = as_bytes(asked.body)};
      if (!asked.anonymous)
        for (OwnedHeader& header :
             sign(view, identity, base::hex_encode(base::sha256(std::string_view(asked.body))), clock.wall()))
          request.fields.emplace_back(std::move(header.name), std::move(header.value));
      auto response = co_await client->send(std::move(request));
      Reply reply;
      if (!response) {
        ADD_FAILURE() << response.error().text();
        co_return reply;
      }
      reply.status = response->status();
      for (http::FieldLine line : response->fields()) {
        std::string name(line.name);
        for (char& c : name) c = static_cast<char>(std::tolower(c));
        reply.headers[name] = line.value;
      }
      auto body = co_await response->read_all(64u << 20);
      if (body) reply.body = as_text(*body);
      co_return reply;
    }

    std::string directory_path;
    base::SystemClock clock;
    base::SystemRandom random;
    std::unique_ptr<io::Disk> disk = io::make_system_disk();
    io::Runtime runtime;
    std::unique_ptr<store::RocksStore> store;
    std::unique_ptr<blob::ExtentBlob> blob;
    std::unique_ptr<auth::Directory> directory;
    auth::RootCredentials root;
    auth::IssuedAccessKey writer;
    std::unique_ptr<Server> server;
    std::unique_ptr<http::Client> client;
    uint16_t port = 0;
  };
  static inline World* world_ = nullptr;
};

TEST_F(S3Port, an_object_comes_back_as_it_went_in) {
  EXPECT_EQ(ask("PUT", "/round").status, 200);
  for (size_t size : {size_t{0}, size_t{1}, size_t{2048}, size_t{2049}, size_t{300'000}, size_t{3} << 20}) {
    std::string bytes(size, '\0');
    base::SeededRandom random(size);
    random.fill(as_writable_bytes(bytes));
    Reply put = ask({"PUT", "/round/k", bytes, {{"content-type", "text/plain"}, {"x-amz-meta-a", "b"}}});
    EXPECT_EQ(put.status, 200) << put.body;
    EXPECT_EQ(put.headers["etag"], "\"" + base::hex_encode(base::md5(std::string_view(bytes))) + "\"");
    Reply get = ask("GET", "/round/k");
    EXPECT_EQ(get.status, 200);
    EXPECT_TRUE(get.body == bytes) << size;
    EXPECT_EQ(get.headers["content-type"], "text/plain");
    EXPECT_EQ(get.headers["x-amz-meta-a"], "b");
    Reply head = ask("HEAD", "/round/k");
    EXPECT_EQ(head.headers["content-length"], std::to_string(size));
    EXPECT_EQ(head.body, "");
  }
}

TEST_F(S3Port, ranges_answer_206_and_416) {
  ask("PUT", "/ranges");
  ask("PUT", "/ranges/k", "0123456789");
  Reply part = ask({"GET", "/ranges/k", "", {{"range", "bytes=3-5"}}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "345");
  EXPECT_EQ(part.headers["content-range"], "bytes 3-5/10");
  Reply outside = ask({"GET", "/ranges/k", "", {{"range", "bytes=10-"}}});
  EXPECT_EQ(outside.status, 416);
  EXPECT_THAT(outside.body, HasSubstr("<Code>InvalidRange</Code>"));
}

TEST_F(S3Port, errors_are_xml_with_a_code_and_head_has_no_body) {
  Reply missing = ask("GET", "/no-such-bucket/k");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("<Code>NoSuchBucket</Code>"));
  EXPECT_EQ(missing.headers["content-type"], "application/xml");
  EXPECT_FALSE(missing.headers["x-amz-request-id"].empty());
  EXPECT_EQ(ask("HEAD", "/no-such-bucket/k").status, 404);
  EXPECT_THAT(ask("PUT", "/Bad_Name").body, HasSubstr("InvalidBucketName"));
  EXPECT_EQ(ask("PUT", "/round?replication=", "<x/>").status, 501);
  EXPECT_EQ(ask("PATCH", "/round/k", "x").status, 501);
}

TEST_F(S3Port, a_wrong_secret_and_nobody_are_refused) {
  Reply wrong = ask({.method = "GET", .target = "/", .secret = "wrong"});
  EXPECT_EQ(wrong.status, 403);
  EXPECT_THAT(wrong.body, HasSubstr("<Code>SignatureDoesNotMatch</Code>"));
  ask("PUT", "/private");
  ask("PUT", "/private/k", "secret");
  Reply nobody = ask({.method = "GET", .target = "/private/k", .anonymous = true});
  EXPECT_EQ(nobody.status, 403);
  EXPECT_THAT(nobody.body, HasSubstr("AccessDenied"));
}

TEST_F(S3Port, a_digest_that_does_not_match_stores_nothing) {
  ask("PUT", "/digests");
  Reply bad = ask({"PUT", "/digests/k", "hello", {{"content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="}}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(bad.body, HasSubstr("<Code>BadDigest</Code>"));
  EXPECT_EQ(ask({"PUT", "/digests/k", "hello", {{"content-md5", "short"}}}).status, 400);
  EXPECT_THAT(ask({"PUT", "/digests/k", "hello", {{"x-amz-checksum-crc32", "AAAAAA=="}}}).body, HasSubstr("BadDigest"));
  EXPECT_EQ(ask("GET", "/digests/k").status, 404);
}

TEST_F(S3Port, parts_become_one_object_and_read_back_across_their_borders) {
  ask("PUT", "/parts");
  Reply begun = ask("POST", "/parts/k?uploads=");
  std::string id = begun.body.substr(begun.body.find("<UploadId>") + 10, 32);
  std::string bytes(kPartBytesMin * 2 + 77, 'x');
  base::SeededRandom random(9);
  random.fill(as_writable_bytes(bytes));
  std::string list = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < 3; ++i) {
    Reply part = ask("PUT", "/parts/k?partNumber=" + std::to_string(i + 1) + "&uploadId=" + id,
                     bytes.substr(i * kPartBytesMin, kPartBytesMin));
    EXPECT_EQ(part.status, 200) << part.body;
    list +=
        "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + part.headers["etag"] + "</ETag></Part>";
  }
  list += "</CompleteMultipartUpload>";
  EXPECT_EQ(ask("GET", "/parts/k").status, 404);  // nothing is visible before
  Reply done = ask("POST", "/parts/k?uploadId=" + id, list);
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(ask("POST", "/parts/k?uploadId=" + id, list).status, 200);  // a client that lost the answer
  EXPECT_TRUE(ask("GET", "/parts/k").body == bytes);
  std::string range = "bytes=" + std::to_string(kPartBytesMin - 10) + "-" + std::to_string(kPartBytesMin * 2 + 9);
  EXPECT_TRUE(ask({"GET", "/parts/k", "", {{"range", range}}}).body ==
              bytes.substr(kPartBytesMin - 10, kPartBytesMin + 20));
  Reply third = ask("GET", "/parts/k?partNumber=3");
  EXPECT_EQ(third.body.size(), 77u);
  EXPECT_EQ(third.headers["x-amz-mp-parts-count"], "3");
}

TEST_F(S3Port, a_copy_inside_the_store_keeps_bytes_and_metadata) {
  ask("PUT", "/copies");
  std::string bytes(100'000, 'c');
  ask({"PUT", "/copies/a", bytes, {{"x-amz-meta-kept", "yes"}}});
  Reply copied = ask({"PUT", "/copies/b", "", {{"x-amz-copy-source", "/copies/a"}}});
  EXPECT_EQ(copied.status, 200) << copied.body;
  Reply got = ask("GET", "/copies/b");
  EXPECT_TRUE(got.body == bytes);
  EXPECT_EQ(got.headers["x-amz-meta-kept"], "yes");
  EXPECT_THAT(ask({"PUT", "/copies/a", "", {{"x-amz-copy-source", "/copies/a"}}}).body, HasSubstr("InvalidRequest"));
}

TEST_F(S3Port, a_bucket_in_the_host_is_the_bucket) {
  ask("PUT", "/hosted");
  EXPECT_EQ(ask({"PUT", "/k%20x", "v", {{"host", "hosted.s3.local"}}}).status, 200);
  EXPECT_EQ(ask("GET", "/hosted/k%20x").body, "v");
}

TEST_F(S3Port, a_bucket_is_removed_only_when_it_is_empty) {
  ask("PUT", "/removal");
  ask("PUT", "/removal/k", "v");
  EXPECT_EQ(ask("DELETE", "/removal").status, 409);
  EXPECT_EQ(ask("DELETE", "/removal/k").status, 204);
  EXPECT_EQ(ask("DELETE", "/removal/k").status, 204);
  EXPECT_EQ(ask("DELETE", "/removal").status, 204);
  EXPECT_EQ(ask("DELETE", "/removal").status, 404);
}

TEST_F(S3Port, an_acl_with_an_object_takes_the_right_to_set_acls) {
  ask({"PUT", "/acls", "", {{"x-amz-object-ownership", "ObjectWriter"}}});
  auto as_writer = [](std::string method, std::string target,
                      std::vector<std::pair<std::string, std::string>> headers) {
    return ask({.method = std::move(method),
                .target = std::move(target),
                .headers = std::move(headers),
                .writer = true})
        .status;
  };
  EXPECT_EQ(as_writer("PUT", "/acls/k", {}), 200);
  EXPECT_EQ(as_writer("PUT", "/acls/k", {{"x-amz-acl", "public-read"}}), 403);
  EXPECT_EQ(
      as_writer("PUT", "/acls/k", {{"x-amz-grant-read", "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""}}),
      403);
  EXPECT_EQ(as_writer("PUT", "/acls/copy", {{"x-amz-copy-source", "/acls/k"}, {"x-amz-acl", "public-read"}}), 403);
  EXPECT_EQ(as_writer("POST", "/acls/k?uploads=", {{"x-amz-acl", "public-read"}}), 403);
  EXPECT_EQ(as_writer("POST", "/acls/k?uploads=", {}), 200);
  EXPECT_EQ(as_writer("PUT", "/acls-open", {{"x-amz-acl", "public-read"}, {"x-amz-object-ownership", "ObjectWriter"}}),
            403);
  EXPECT_EQ(as_writer("PUT", "/acls-closed", {{"x-amz-acl", "private"}}), 200);
  EXPECT_EQ(ask({"PUT", "/acls/k", "v", {{"x-amz-acl", "public-read"}}}).status, 200);
  EXPECT_EQ(ask({.method = "GET", .target = "/acls/k", .anonymous = true}).status, 200);
}

TEST_F(S3Port, a_copy_takes_tags_along_only_for_who_may_read_and_set_them) {
  ask("PUT", "/tagged");
  ask({"PUT", "/tagged/k", "v", {{"x-amz-tagging", "secret=yes"}}});
  auto copy = [](bool writer, std::vector<std::pair<std::string, std::string>> more) {
    more.emplace_back("x-amz-copy-source", "/tagged/k");
    return ask({.method = "PUT", .target = "/tagged/copy", .headers = std::move(more), .writer = writer}).status;
  };
  EXPECT_EQ(copy(true, {}), 403);
  EXPECT_EQ(copy(true, {{"x-amz-tagging-directive", "REPLACE"}}), 200);
  EXPECT_EQ(copy(true, {{"x-amz-tagging-directive", "REPLACE"}, {"x-amz-tagging", "a=b"}}), 403);
  EXPECT_EQ(copy(false, {}), 200);
}

TEST_F(S3Port, a_form_needs_rights_and_sound_metadata) {
  ask({"PUT", "/forms", "", {{"x-amz-object-ownership", "ObjectWriter"}, {"x-amz-acl", "public-read-write"}}});
  auto post = [](const std::string& fields) {
    std::string body =
        fields + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbytes\r\n--b--\r\n";
    return ask({.method = "POST",
                .target = "/forms",
                .body = body,
                .headers = {{"content-type", "multipart/form-data; boundary=b"}},
                .anonymous = true});
  };
  auto field = [](const std::string& name, const std::string& value) {
    return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  };
  EXPECT_EQ(post(field("key", "k") + field("acl", "public-read") + field("x-amz-meta-a", "b\tc")).status, 204);
  EXPECT_EQ(ask({.method = "GET", .target = "/forms/k", .anonymous = true}).headers["x-amz-meta-a"], "b\tc");
  for (const std::string& bad :
       {std::string("a\r\nSet-Cookie: b"), std::string("a\nb"), std::string("a\0b", 3), std::string("\x7f")}) {
    EXPECT_EQ(post(field("key", "bad") + field("x-amz-meta-a", bad)).status, 400);
    EXPECT_EQ(post(field("key", "bad") + field("Content-Type", bad)).status, 400);
  }
  EXPECT_EQ(post(field("key", "bad") + field("x-amz-meta-a b:", "c")).status, 400);
  EXPECT_EQ(ask("GET", "/forms/bad").status, 404);
  // Everybody may write by the policy now, but say nothing of who reads it.
  ask({"PUT", "/forms?acl=", "", {{"x-amz-acl", "private"}}});
  EXPECT_EQ(ask("PUT", "/forms?policy=",
                R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject",)"
                R"("Resource":"arn:aws:s3:::forms/*"}]})")
                .status,
            204);
  EXPECT_EQ(post(field("key", "k2")).status, 204);
  EXPECT_EQ(post(field("key", "k2") + field("acl", "public-read")).status, 403);
}

TEST_F(S3Port, lifecycle_rules_are_kept_and_tell_when_objects_expire) {
  ask("PUT", "/rules");
  EXPECT_THAT(ask("GET", "/rules?lifecycle").body, HasSubstr("<Code>NoSuchLifecycleConfiguration</Code>"));
  EXPECT_EQ(ask("DELETE", "/rules?lifecycle").status, 204);
  EXPECT_THAT(ask("PUT", "/rules?lifecycle", "<x/>").body, HasSubstr("<Code>MalformedXML</Code>"));
  const std::string rule =
      "<Rule><ID>r</ID><Prefix>logs/</Prefix><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>";
  EXPECT_EQ(ask("PUT", "/rules?lifecycle", "<LifecycleConfiguration>" + rule + "</LifecycleConfiguration>").status, 200);
  EXPECT_THAT(ask("GET", "/rules?lifecycle").body, HasSubstr(rule));
  EXPECT_THAT(ask("PUT", "/rules/logs/a", "x").headers["x-amz-expiration"], HasSubstr("rule-id=\"r\""));
  EXPECT_THAT(ask("GET", "/rules/logs/a").headers["x-amz-expiration"], HasSubstr("expiry-date="));
  EXPECT_EQ(ask("PUT", "/rules/data/a", "x").headers.count("x-amz-expiration"), 0u);
  const std::string archive = "<Rule><Prefix/><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>GLACIER"
                              "</StorageClass></Transition></Rule>";
  EXPECT_THAT(ask("PUT", "/rules?lifecycle", "<LifecycleConfiguration>" + archive + "</LifecycleConfiguration>").body,
              HasSubstr("<Code>InvalidStorageClass</Code>"));  // six drives do not hold 8+3
  EXPECT_EQ(ask("DELETE", "/rules?lifecycle").status, 204);
  EXPECT_EQ(ask("GET", "/rules?lifecycle").status, 404);
}

TEST_F(S3Port, a_rename_moves_the_name_and_takes_the_rights_to_read_write_and_delete) {
  ask("PUT", "/names");
  std::string bytes(100'000, 'n');
  ask({"PUT", "/names/a", bytes, {{"x-amz-meta-kept", "yes"}}});
  auto rename = [](std::string source, std::string target, std::vector<std::pair<std::string, std::string>> more = {},
                   bool writer = false) {
    more.emplace_back("x-amz-rename-source", std::move(source));
    return ask({.method = "PUT", .target = std::move(target), .headers = std::move(more), .writer = writer});
  };
  EXPECT_EQ(rename("/names/a", "/names/b?renameObject", {}, true).status, 403);  // may not delete
  EXPECT_THAT(rename("/other/a", "/names/b?renameObject").body, HasSubstr("<Code>InvalidRequest</Code>"));
  EXPECT_THAT(ask("PUT", "/names/b?renameObject").body, HasSubstr("<Code>InvalidArgument</Code>"));
  EXPECT_THAT(rename("%zz", "/names/b?renameObject").body, HasSubstr("<Code>InvalidArgument</Code>"));
  EXPECT_THAT(rename("/names/a", "/names/b?renameObject=all").body, HasSubstr("<Code>InvalidArgument</Code>"));
  EXPECT_EQ(rename("/names/a", "/names/b%20c?renameObject", {{"x-amz-client-token", "once"}}).status, 200);
  EXPECT_EQ(rename("/names/a", "/names/b%20c?renameObject", {{"x-amz-client-token", "once"}}).status, 200);
  EXPECT_THAT(rename("/names/a", "/names/d?renameObject", {{"x-amz-client-token", "once"}}).body,
              HasSubstr("<Code>IdempotencyParameterMismatch</Code>"));
  EXPECT_EQ(rename("/names/a", "/names/b%20c?renameObject").status, 404);
  Reply got = ask("GET", "/names/b%20c");
  EXPECT_TRUE(got.body == bytes);
  EXPECT_EQ(got.headers["x-amz-meta-kept"], "yes");
  EXPECT_EQ(ask("GET", "/names/a").status, 404);
  Reply all = rename("b", "/names/dir/x?renameObject=prefix");
  EXPECT_EQ(all.status, 200) << all.body;
  EXPECT_EQ(all.headers["x-amz-renamed-objects"], "1");
  EXPECT_TRUE(ask("GET", "/names/dir/x%20c").body == bytes);
}

TEST_F(S3Port, broken_requests_get_clear_answers) {
  ask("PUT", "/broken");
  EXPECT_EQ(ask("GET", "/broken?max-keys=-1").status, 400);
  EXPECT_EQ(ask("GET", "/broken?list-type=2&continuation-token=zzz").status, 400);
  EXPECT_EQ(ask("GET", "/broken/k?versionId=zzz").status, 400);
  EXPECT_THAT(ask("POST", "/broken?delete=", "<Delete><Object>").body, HasSubstr("MalformedXML"));
  EXPECT_THAT(ask("PUT", "/broken/k?uploadId=abc&partNumber=1", "x").body, HasSubstr("NoSuchUpload"));
  EXPECT_THAT(ask("PUT", "/broken/k?uploadId=00112233445566778899aabbccddeeff&partNumber=0", "x").body,
              HasSubstr("InvalidArgument"));
  EXPECT_EQ(ask("PUT", "/broken/" + std::string(1025, 'k'), "x").status, 400);
  EXPECT_EQ(ask("PUT", "/broken?policy=", "{").status, 400);
}

// --- server-side encryption

std::string random_body(size_t size) {
  std::string bytes(size, '\0');
  base::SeededRandom random(size + 7);
  random.fill(as_writable_bytes(bytes));
  return bytes;
}

std::vector<std::pair<std::string, std::string>> customer_headers(char fill, std::string prefix = "x-amz-") {
  std::string key(32, fill);
  prefix += "server-side-encryption-customer-";
  auto md5 = base::md5(std::string_view(key));
  return {{prefix + "algorithm", "AES256"},
          {prefix + "key", base::base64_encode(as_bytes(key))},
          {prefix + "key-md5", base::base64_encode(md5)}};
}

TEST_F(S3Port, an_encrypted_object_comes_back_as_it_went_in) {
  ask("PUT", "/sealed");
  for (size_t size :
       {size_t{0}, size_t{1}, size_t{2048}, size_t{2049}, size_t{65'530}, size_t{300'000}, size_t{3} << 20}) {
    std::string bytes = random_body(size);
    Reply put = ask({"PUT", "/sealed/k", bytes, {{"x-amz-server-side-encryption", "AES256"}}});
    EXPECT_EQ(put.status, 200) << put.body;
    EXPECT_EQ(put.headers["x-amz-server-side-encryption"], "AES256");
    Reply get = ask("GET", "/sealed/k");
    EXPECT_TRUE(get.body == bytes) << size;
    EXPECT_EQ(get.headers["x-amz-server-side-encryption"], "AES256");
    EXPECT_EQ(ask("HEAD", "/sealed/k").headers["content-length"], std::to_string(size));
    if (size < 1000) continue;
    Reply part = ask({"GET", "/sealed/k", "", {{"range", "bytes=1000-"}}});
    EXPECT_EQ(part.status, 206);
    EXPECT_TRUE(part.body == bytes.substr(1000)) << size;
  }
  EXPECT_EQ(ask({"HEAD", "/sealed/k", "", {{"x-amz-server-side-encryption", "AES256"}}}).status, 400);
  EXPECT_EQ(ask({"PUT", "/sealed/k", "", {{"x-amz-server-side-encryption", "aes"}}}).status, 400);
}

TEST_F(S3Port, what_was_stored_for_another_object_is_never_served) {
  ask("PUT", "/mixed");
  for (const char* key : {"/mixed/a", "/mixed/b"})
    ask({"PUT", key, std::string("secret of ") + key, {{"x-amz-server-side-encryption", "AES256"}}});
  ASSERT_TRUE(with_rows([](store::Txn& txn, store::Keyspace keyspace, const Engine& engine) -> Task<bool> {
    Bucket bucket = *co_await engine.bucket(txn, "mixed");
    ObjectVersion a = *co_await engine.version(txn, bucket.id, "a", std::nullopt);
    ObjectVersion b = *co_await engine.version(txn, bucket.id, "b", std::nullopt);
    std::string bytes = *co_await engine.inlined_bytes(txn, bucket.id, "b", b.sequence);
    co_return txn.put(keyspace, inline_key(bucket.id, "a", a.sequence), bytes).has_value();
  }));
  Reply get = ask("GET", "/mixed/a");
  EXPECT_EQ(get.status, 500);
  EXPECT_EQ(get.body.find("secret"), get.body.npos);
  EXPECT_EQ(ask("GET", "/mixed/b").body, "secret of /mixed/b");
}

TEST_F(S3Port, a_customers_key_is_asked_for_and_compared) {
  ask("PUT", "/theirs");
  std::string bytes = random_body(200'000);
  Reply put = ask({"PUT", "/theirs/k", bytes, customer_headers('k')});
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.headers["x-amz-server-side-encryption-customer-algorithm"], "AES256");
  EXPECT_EQ(ask("GET", "/theirs/k").status, 400);
  EXPECT_EQ(ask("HEAD", "/theirs/k").status, 400);
  EXPECT_EQ(ask({"GET", "/theirs/k", "", customer_headers('x')}).status, 400);
  EXPECT_TRUE(ask({"GET", "/theirs/k", "", customer_headers('k')}).body == bytes);

  auto copying = customer_headers('k', "x-amz-copy-source-");
  copying.emplace_back("x-amz-copy-source", "/theirs/k");
  Reply copied = ask({"PUT", "/theirs/plain", "", copying});
  EXPECT_EQ(copied.status, 200) << copied.body;
  Reply plain = ask("GET", "/theirs/plain");
  EXPECT_TRUE(plain.body == bytes);
  EXPECT_FALSE(plain.headers.contains("x-amz-server-side-encryption-customer-algorithm"));
  EXPECT_EQ(ask({"GET", "/theirs/plain", "", customer_headers('k')}).status, 400);
  EXPECT_EQ(ask({"PUT", "/theirs/other", "", {{"x-amz-copy-source", "/theirs/k"}}}).status, 400);
}

TEST_F(S3Port, parts_are_sealed_one_by_one_and_completing_takes_no_key_but_no_other_either) {
  ask("PUT", "/pieces");
  Reply begun = ask({"POST", "/pieces/k?uploads=", "", customer_headers('k')});
  EXPECT_EQ(begun.status, 200) << begun.body;
  std::string upload = std::string(parse_xml(begun.body)->text_of("UploadId"));
  std::string first = random_body(kPartBytesMin + 1), second = random_body(777);
  std::string at = "/pieces/k?uploadId=" + upload;
  EXPECT_EQ(ask({"PUT", at + "&partNumber=1", first, {}}).status, 400);
  EXPECT_EQ(ask({"PUT", at + "&partNumber=1", first, customer_headers('x')}).status, 400);
  std::string list = "<CompleteMultipartUpload>";
  int number = 0;
  for (const std::string& part : {first, second}) {
    Reply put = ask({"PUT", at + "&partNumber=" + std::to_string(++number), part, customer_headers('k')});
    EXPECT_EQ(put.status, 200) << put.body;
    list +=
        "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" + put.headers["etag"] + "</ETag></Part>";
  }
  list += "</CompleteMultipartUpload>";
  EXPECT_EQ(ask({"POST", at, list, customer_headers('x')}).status, 400);
  EXPECT_EQ(ask({"POST", at, list, {}}).status, 200);
  EXPECT_EQ(ask({"POST", at, list, customer_headers('k')}).status, 200) << "again";
  Reply get = ask({"GET", "/pieces/k", "", customer_headers('k')});
  EXPECT_TRUE(get.body == first + second);
  auto range = customer_headers('k');
  range.emplace_back("range", "bytes=" + std::to_string(first.size() - 3) + "-" + std::to_string(first.size() + 2));
  EXPECT_EQ(ask({"GET", "/pieces/k", "", range}).body, first.substr(first.size() - 3) + second.substr(0, 3));
}

TEST_F(S3Port, a_bucket_encrypts_what_does_not_say_how) {
  ask("PUT", "/house");
  EXPECT_EQ(ask("GET", "/house?encryption").status, 404);
  EXPECT_EQ(ask("PUT", "/house?encryption", "<no/>").status, 400);
  Reply set = ask("PUT", "/house?encryption",
                  "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
                  "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>");
  EXPECT_EQ(set.status, 200) << set.body;
  EXPECT_THAT(ask("GET", "/house?encryption").body, HasSubstr("<SSEAlgorithm>AES256</SSEAlgorithm>"));
  EXPECT_EQ(ask("PUT", "/house/k", "x").headers["x-amz-server-side-encryption"], "AES256");
  EXPECT_EQ(ask("DELETE", "/house?encryption").status, 204);
  EXPECT_FALSE(ask("PUT", "/house/k", "x").headers.contains("x-amz-server-side-encryption"));
  // A named key that nobody made.
  Reply unknown =
      ask({"PUT",
           "/house/k",
           "x",
           {{"x-amz-server-side-encryption", "aws:kms"}, {"x-amz-server-side-encryption-aws-kms-key-id", "nobody"}}});
  EXPECT_EQ(unknown.status, 400);
  EXPECT_THAT(unknown.body, HasSubstr("KMS.NotFoundException"));
}

}  // namespace
}  // namespace polis::object
