#include "kernel/http/static_files.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "kernel/http/server.h"

namespace polis::http {
namespace {

using std::chrono::seconds;

// A directory with a few files, and one beside it that nobody may reach.
class Directory {
 public:
  Directory() {
    char name[] = "/tmp/polis-static-XXXXXX";
    path_ = mkdtemp(name);
    write("secret.txt", "secret");
    std::filesystem::create_directories(path_ + "/root/assets");
    write("root/index.html", "<index>");
    write("root/a b.txt", "0123456789");
    write("root/.hidden", "hidden");
    write("root/app.js", "plain");
    write("root/app.js.br", "brotli");
    write("root/app.js.gz", "gzip");
    write("root/assets/x.css", "css");
    write("root/large.bin", std::string(300'000, 'L'));
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string root() const { return path_ + "/root"; }

 private:
  void write(const std::string& name, const std::string& content) { std::ofstream(path_ + "/" + name) << content; }
  std::string path_;
};

std::string get(std::string target, std::string lines = "", std::string method = "GET") {
  static Directory directory;
  return io::run([&]() -> Task<std::string> {
    auto disk = io::make_system_disk();
    StaticFiles files(*disk, directory.root(), {.fall_back_to_index = true, .immutable_prefix = "assets/"});
    auto router = std::make_shared<Router>();
    router->any("/{path...}", files.handler("path"));
    Server server(Router::handler(router), {});
    auto endpoint = server.listen(*io::Endpoint::parse("127.0.0.1:0"));
    auto stream = co_await io::connect(*endpoint);
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + lines + "\r\n";
    auto written = co_await (*stream)->write(as_bytes(request));
    std::string out;
    std::byte piece[4096];
    while (auto got = co_await (*stream)->read_some(piece)) out.append(as_text(BytesView(piece).first(*got)));
    co_await server.drain(seconds(1));
    co_return out;
  });
}

std::string body_of(const std::string& answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}
std::string field_of_answer(const std::string& answer, const std::string& name) {
  size_t at = answer.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  at += name.size() + 4;
  return answer.substr(at, answer.find('\r', at) - at);
}

TEST(StaticFiles, serves_files_with_their_types) {
  std::string answer = get("/a%20b.txt");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_EQ(body_of(answer), "0123456789");
  EXPECT_EQ(field_of_answer(answer, "Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(field_of_answer(answer, "Cache-Control"), "no-cache");
  EXPECT_EQ(body_of(get("/")), "<index>");
  EXPECT_EQ(body_of(get("/some/page")), "<index>");
  EXPECT_NE(field_of_answer(get("/assets/x.css"), "Cache-Control").find("immutable"), std::string::npos);
  EXPECT_EQ(body_of(get("/large.bin")), std::string(300'000, 'L'));
  std::string head = get("/large.bin", "", "HEAD");
  EXPECT_EQ(field_of_answer(head, "Content-Length"), "300000");
  EXPECT_EQ(body_of(head), "");
}

TEST(StaticFiles, never_leave_their_directory) {
  for (std::string_view target :
       {"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt",
        "/assets/..%5c..%5csecret.txt", "/.hidden", "/%2ehidden", "/assets/%00.txt", "//secret.txt", "/assets//x.css",
        "/%zz.txt", "/none.txt", "/assets.txt"}) {
    std::string answer = get(std::string(target));
    EXPECT_EQ(answer.find("secret\""), std::string::npos) << target;
    EXPECT_NE(body_of(answer), "secret") << target;
    EXPECT_NE(body_of(answer), "hidden") << target;
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 404 ")) << target << " -> " << answer;
  }
  EXPECT_TRUE(get("/a%20b.txt", "Content-Length: 0\r\n", "PUT").starts_with("HTTP/1.1 405 "));
}

TEST(StaticFiles, choose_a_compressed_sibling) {
  std::string br = get("/app.js", "Accept-Encoding: gzip, br\r\n");
  EXPECT_EQ(body_of(br), "brotli");
  EXPECT_EQ(field_of_answer(br, "Content-Encoding"), "br");
  EXPECT_EQ(field_of_answer(br, "Content-Type"), "text/javascript; charset=utf-8");
  std::string gz = get("/app.js", "Accept-Encoding: gzip, br;q=0\r\n");
  EXPECT_EQ(body_of(gz), "gzip");
  std::string plain = get("/app.js");
  EXPECT_EQ(body_of(plain), "plain");
  EXPECT_EQ(field_of_answer(plain, "Content-Encoding"), "");
  EXPECT_NE(field_of_answer(plain, "ETag"), field_of_answer(gz, "ETag"));
}

TEST(StaticFiles, answer_conditions_and_ranges) {
  std::string whole = get("/a%20b.txt");
  std::string etag = field_of_answer(whole, "ETag"), modified = field_of_answer(whole, "Last-Modified");
  EXPECT_TRUE(get("/a%20b.txt", "If-None-Match: " + etag + "\r\n").starts_with("HTTP/1.1 304 "));
  EXPECT_EQ(body_of(get("/a%20b.txt", "If-None-Match: " + etag + "\r\n")), "");
  EXPECT_TRUE(get("/a%20b.txt", "If-Modified-Since: " + modified + "\r\n").starts_with("HTTP/1.1 304 "));
  EXPECT_TRUE(get("/a%20b.txt", "If-Match: \"x\"\r\n").starts_with("HTTP/1.1 412 "));
  std::string part = get("/a%20b.txt", "Range: bytes=2-4\r\n");
  EXPECT_TRUE(part.starts_with("HTTP/1.1 206 "));
  EXPECT_EQ(body_of(part), "234");
  EXPECT_EQ(field_of_answer(part, "Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(body_of(get("/a%20b.txt", "Range: bytes=2-4\r\nIf-Range: \"x\"\r\n")), "0123456789");
  std::string beyond = get("/a%20b.txt", "Range: bytes=10-\r\n");
  EXPECT_TRUE(beyond.starts_with("HTTP/1.1 416 ")) << beyond;
  EXPECT_EQ(field_of_answer(beyond, "Content-Range"), "bytes */10");
  std::string several = get("/a%20b.txt", "Range: bytes=0-1,8-9\r\n");
  EXPECT_TRUE(several.starts_with("HTTP/1.1 206 "));
  EXPECT_NE(field_of_answer(several, "Content-Type").find("multipart/byteranges; boundary="), std::string::npos);
  EXPECT_NE(several.find("Content-Range: bytes 0-1/10\r\n\r\n01\r\n--"), std::string::npos) << several;
  EXPECT_NE(several.find("Content-Range: bytes 8-9/10\r\n\r\n89\r\n--"), std::string::npos) << several;
}

}  // namespace
}  // namespace polis::http
