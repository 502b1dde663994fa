#include "app/cli/api_connection.h"

#include <boost/json.hpp>
#include <filesystem>
#include <fmt/format.h>

#include "app/files/data_directory.h"
#include "kernel/http/client.h"
#include "kernel/http/static_files.h"

namespace polis::app {
namespace {

namespace json = boost::json;

// Answers that are kept in memory.
constexpr uint64_t kAnswerBytesMax = uint64_t{16} << 20;
// A request may wait for a repair or a scrub that the server does before it answers.
constexpr Duration kAnswerWithin = std::chrono::minutes(60);

Code code_of(int status) {
  switch (status) {
    case 400:
      return Code::kInvalid;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kConflict;
    case 412:
      return Code::kVersionMismatch;
    case 413:
      return Code::kTooLarge;
    case 416:
      return Code::kOutOfRange;
    case 501:
      return Code::kUnsupported;
    case 503:
      return Code::kBusy;
    default:
      return Code::kIo;
  }
}

// The text of one element of a document of errors as S3 has it; empty without it.
std::string xml_text(std::string_view document, const std::string& element) {
  const std::string open = "<" + element + ">";
  size_t begin = document.find(open);
  if (begin == document.npos) return {};
  document.remove_prefix(begin + open.size());
  std::string text(document.substr(0, document.find('<')));
  // The ampersand last: what it makes is no reference.
  static constexpr std::pair<std::string_view, char> kReferences[] = {
      {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};
  for (const auto& [reference, character] : kReferences)
    for (size_t at = 0; (at = text.find(reference, at)) != text.npos; ++at)
      text.replace(at, reference.size(), 1, character);
  return text;
}

// The server's own words, out of application/problem+json or S3's XML.
Error error_of(int status, std::string_view body) {
  boost::system::error_code failed;
  json::value value = json::parse(body, failed);
  if (!failed && value.is_object())
    for (const char* member : {"detail", "title"})
      if (const json::value* text = value.get_object().if_contains(member);
          text && text->is_string() && !text->get_string().empty())
        return Error(code_of(status), std::string(text->get_string()));
  if (std::string message = xml_text(body, "Message"); !message.empty())
    return Error(code_of(status), fmt::format("{} ({})", message, xml_text(body, "Code")));
  return Error(code_of(status), fmt::format("polis answered with status {}", status));
}

// A local file as a body, with progress.
class FileBody final : public http::BodySource {
 public:
  FileBody(std::unique_ptr<io::File> file, uint64_t size_bytes, std::string what, Terminal& terminal)
      : file_(std::move(file)), size_bytes_(size_bytes), what_(std::move(what)), terminal_(terminal) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    size_t size =
        CO_TRY(co_await file_->read_at(offset_, into.first(std::min<uint64_t>(into.size(), size_bytes_ - offset_))));
    offset_ += size;
    if (size_bytes_ > 0) terminal_.progress(what_, offset_, size_bytes_);
    co_return size;
  }
  std::optional<uint64_t> size_bytes() const override { return size_bytes_; }

 private:
  std::unique_ptr<io::File> file_;
  uint64_t size_bytes_;
  uint64_t offset_ = 0;
  std::string what_;
  Terminal& terminal_;
};

class ApiConnection final : public systems::ApiClient {
 public:
  ApiConnection(ApiTarget target, Terminal& terminal)
      : target_(std::move(target)), terminal_(terminal), client_(client_options(target_)) {}

  Task<Result<Response>> request(std::string method, std::string target, std::string body,
                                 std::string content_type) override {
    http::ClientRequest wanted = CO_TRY(prepare(std::move(method), std::move(target)));
    if (!body.empty()) wanted.fields.emplace_back("Content-Type", content_type);
    wanted.body = as_bytes(body);
    co_return co_await answer(std::move(wanted));
  }

  Task<Result<Response>> send_file(std::string method, std::string target, std::string path,
                                   std::string content_type) override {
    auto file = CO_TRY(co_await disk_->open(path, io::OpenMode::kRead));
    uint64_t size = CO_TRY(file->size());
    FileBody source(std::move(file), size, std::filesystem::path(path).filename().string(), terminal_);
    http::ClientRequest wanted = CO_TRY(prepare(std::move(method), std::move(target)));
    if (content_type.empty()) content_type = http::media_type_of(path);
    wanted.fields.emplace_back("Content-Type", content_type);
    wanted.source = &source;
    wanted.expect_continue = true;
    co_return co_await answer(std::move(wanted));
  }

  Task<Result<Response>> receive_file(std::string target, std::string path) override {
    auto got = CO_TRY(co_await client_.send(CO_TRY(prepare("GET", std::move(target)))));
    if (got.status() >= 300)
      co_return fail(error_of(got.status(), as_text(CO_TRY(co_await got.read_all(kAnswerBytesMax)))));
    // Beside its place first: a file that is there is replaced whole or not at all.
    std::string temporary = path + ".part";
    auto file = CO_TRY(co_await disk_->open(temporary, io::OpenMode::kCreate));
    CO_TRY(co_await file->resize(0));
    Bytes block(size_t{1} << 20);
    uint64_t offset = 0, total = got.content_length().value_or(0);
    std::string what = std::filesystem::path(path).filename().string();
    while (size_t size = CO_TRY(co_await got.read(block))) {
      CO_TRY(co_await file->write_at(offset, BytesView(block).first(size)));
      offset += size;
      if (total > 0) terminal_.progress(what, offset, total);
    }
    file.reset();
    CO_TRY(co_await disk_->rename(temporary, path));
    co_return describe(got, {});
  }

  Task<Result<uint16_t>> port(std::string name) override {
    if (!target_.url.empty())
      co_return fail(Code::kUnsupported, "the ports of a polis elsewhere are not known here: name the address");
    Ready ready = CO_TRY(read_ready(target_.data_directory));
    auto at = ready.ports.find(name);
    if (at == ready.ports.end())
      co_return fail(Code::kNotFound, fmt::format("{} does not listen: start polis with that system", name));
    co_return at->second;
  }

 private:
  // https is checked against the system's authorities.
  static http::ClientOptions client_options(const ApiTarget& target) {
    http::ClientOptions options;
    if (target.url.starts_with("https:"))
      if (auto tls = io::TlsContext::client({})) options.tls = std::move(*tls);
    return options;
  }

  Result<http::ClientRequest> prepare(std::string method, std::string target) const {
    http::ClientRequest wanted;
    wanted.method = std::move(method);
    wanted.timeout = kAnswerWithin;
    if (target_.url.empty()) {
      TRY(read_ready(target_.data_directory));  // says what to do when nothing runs
      wanted.url.unix_socket = true;
      wanted.url.host = target_.data_directory + "/run/polis.sock";
    } else {
      wanted.url = TRY(http::Url::parse(target_.url));
      wanted.fields.emplace_back("Authorization", "Bearer " + target_.token);
    }
    wanted.url.target = std::move(target);
    return wanted;
  }

  static Response describe(const http::ClientResponse& got, std::string body) {
    Response response{.status = got.status(), .body = std::move(body), .headers = {}};
    for (const http::FieldLine& line : got.fields()) {
      std::string name(line.name);
      for (char& c : name)
        if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
      response.headers[std::move(name)] = line.value;
    }
    return response;
  }

  Task<Result<Response>> answer(http::ClientRequest wanted) {
    auto got = CO_TRY(co_await client_.send(std::move(wanted)));
    Bytes body = CO_TRY(co_await got.read_all(kAnswerBytesMax));
    if (got.status() >= 300) co_return fail(error_of(got.status(), as_text(body)));
    co_return describe(got, std::string(as_text(body)));
  }

  ApiTarget target_;
  Terminal& terminal_;
  http::Client client_;
  std::unique_ptr<io::Disk> disk_ = io::make_system_disk();
};

}  // namespace

std::unique_ptr<systems::ApiClient> make_api_connection(ApiTarget target, Terminal& terminal) {
  return std::make_unique<ApiConnection>(std::move(target), terminal);
}

}  // namespace polis::app
