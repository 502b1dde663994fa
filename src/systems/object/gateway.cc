#include "systems/object/gateway.h"

#include "kernel/http/h1.h"
#include "systems/api.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

constexpr std::string_view kBase = "/api/object/v1/s3";
constexpr size_t kFilePieceBytes = 256 * 1024;
constexpr size_t kLocalAnswerBytesMax = 4 << 20;

// Stands where a connection's stream would: knows who is at the other end, and carries nothing.
class NoStream final : public io::Stream {
 public:
  NoStream(io::Endpoint peer, io::Endpoint local, bool encrypted)
      : peer_(std::move(peer)), local_(std::move(local)), encrypted_(encrypted) {}
  Task<Result<size_t>> read_some(MutableBytes) override { co_return refusal(); }
  Task<Result<void>> write(std::span<const BytesView>) override { co_return refusal(); }
  Task<Result<void>> send_file(io::File&, io::ByteRange) override { co_return refusal(); }
  Task<Result<void>> finish() override { co_return refusal(); }
  void close() override {}
  Task<Result<void>> peer_gone() override { co_return refusal(); }
  const io::Endpoint& peer() const override { return peer_; }
  const io::Endpoint& local() const override { return local_; }
  bool encrypted() const override { return encrypted_; }

 private:
  static std::unexpected<Error> refusal() { return fail(Code::kInvalid, "this request has no connection of its own"); }
  io::Endpoint peer_, local_;
  bool encrypted_;
};

// What both kinds of exchange below have in common.
class ServiceExchange : public http::Exchange {
 public:
  ServiceExchange(http::Response& response, NoStream stream) : response_(response), stream_(std::move(stream)) {}
  virtual ~ServiceExchange() = default;

  const http::Fields& request_trailers() const override { return no_trailers_; }
  Task<Result<void>> write_file(io::File& file, io::ByteRange range) override {
    response_.content_length(range.size);
    Bytes piece(std::min<uint64_t>(range.size, kFilePieceBytes));
    while (range.size != 0) {
      MutableBytes into = MutableBytes(piece).first(std::min<uint64_t>(range.size, piece.size()));
      size_t got = CO_TRY(co_await file.read_at(range.offset, into));
      if (got != into.size()) co_return fail(Code::kCorrupt, "file '" + file.path() + "' is shorter than it was");
      CO_TRY(co_await write_response(into, false));
      range.offset += got;
      range.size -= got;
    }
    co_return co_await write_response({}, true);
  }
  Task<Result<void>> write_error(int status, std::string detail) override {
    if (response_.started()) co_return fail(Code::kClosed, "the response had begun before its error");
    response_.clear_body_fields(status);
    response_.status(status);
    response_.set(http::Field::kContentType, "application/xml");
    XmlWriter xml("Error", XmlWriter::Plain{});
    xml.element("Code", status >= 500 ? "InternalError" : "BadRequest").element("Message", detail);
    std::string document = xml.finish();
    co_return co_await write_response(as_bytes(document), true);
  }
  Task<Result<http::Upgraded>> switch_protocols() override {
    co_return fail(Code::kUnsupported, "the S3 API has no other protocol");
  }
  Task<Result<void>> peer_gone() override { return stream_.peer_gone(); }
  io::Stream& stream() override { return stream_; }

 protected:
  http::Response& response_;  // the Service's

 private:
  NoStream stream_;
  http::Fields no_trailers_;
};

// Puts the Service's answer into the connection's, with what keeps other people's bytes out of the console's origin.
class SandboxedExchange final : public ServiceExchange {
 public:
  SandboxedExchange(http::Request& request, http::Response& outer, http::Response& response)
      : ServiceExchange(response, NoStream(request.peer(), request.local(), request.encrypted())),
        request_(request),
        outer_(outer) {}

  Task<Result<size_t>> read_body(MutableBytes into) override { return request_.read(into); }
  Task<Result<void>> write_response(BytesView body, bool last) override {
    if (response_.finished()) co_return fail(Code::kInvalid, "the response is finished already");
    if (!response_.started()) {
      pass_on_head();
      response_.mark_started();
    }
    if (!last) co_return co_await outer_.write(body);
    response_.mark_finished();
    co_return co_await outer_.send(body);
  }

 private:
  void pass_on_head() {
    std::string disposition = "attachment";
    outer_.status(response_.status());
    for (std::string_view lines = response_.lines(); !lines.empty();) {
      size_t end = std::min(lines.find("\r\n"), lines.size());
      std::string_view line = lines.substr(0, end);
      lines.remove_prefix(std::min(end + 2, lines.size()));
      size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      std::string_view name = line.substr(0, colon), value = http::trim_blanks(line.substr(colon + 1));
      if (!http::equal_ignoring_case(name, "content-disposition")) {
        outer_.add(name, value);
      } else if (size_t parameters = value.find(';'); parameters != std::string_view::npos) {
        // It may name the file; "inline" is the one thing that it may not say here.
        disposition += value.substr(parameters);
      }
    }
    if (auto length = response_.content_length()) outer_.content_length(*length);
    if (response_.close_asked()) outer_.close();
    outer_.set(http::Field::kContentDisposition, disposition);
    outer_.set("Content-Security-Policy", "sandbox; default-src 'none'");
    outer_.set("X-Content-Type-Options", "nosniff");
    outer_.set("Cache-Control", "no-store");
  }

  http::Request& request_;
  http::Response& outer_;
};

// Keeps the answer in memory.
class LocalExchange final : public ServiceExchange {
 public:
  LocalExchange(const std::string& body, http::Response& response)
      : ServiceExchange(response, NoStream({.address = "127.0.0.1"}, {.address = "127.0.0.1"}, true)),
        body_(as_bytes(body)) {}

  Task<Result<size_t>> read_body(MutableBytes into) override {
    size_t count = std::min(into.size(), body_.size());
    std::copy_n(body_.begin(), count, into.begin());
    body_ = body_.subspan(count);
    co_return count;
  }
  Task<Result<void>> write_response(BytesView body, bool last) override {
    response_.mark_started();
    if (last) response_.mark_finished();
    if (answer_.size() + body.size() > kLocalAnswerBytesMax)
      co_return fail(Code::kTooLarge, "the answer is larger than 4 MiB");
    answer_ += as_text(body);
    co_return Result<void>();
  }
  std::string take_answer() { return std::move(answer_); }

 private:
  BytesView body_;
  std::string answer_;
};

// The request as the S3 port would have seen it.
Task<void> serve(Server& server, http::Request& request, http::Response& outer) {
  if (systems::principal(request)->anonymous())
    co_return co_await systems::answer_error(outer,
                                             Error(Code::kUnauthenticated, "sign in first, or send a bearer token"));
  if (request.method() == http::Method::kOptions || request.method() == http::Method::kOther)
    co_return co_await systems::answer_error(outer, Error(Code::kUnsupported, "this method is not offered here"));
  request.limit_body(kPutBytesMax);
  std::string target(request.target().substr(kBase.size()));
  if (!target.starts_with('/')) target.insert(0, "/");
  http::RequestHead head = request.head();
  head.target = target;
  head.path = std::string_view(target).substr(0, target.find('?'));
  http::Response response;
  SandboxedExchange exchange(request, outer, response);
  response.begin(exchange);
  http::Request inner;
  inner.begin(exchange, head, kPutBytesMax, request.trace());
  co_await server.service().handle_as(systems::principal(request), inner, response);
}

}  // namespace

void mount_gateway(http::Router& router, Server& server) {
  router.any(std::string(kBase) + "/{path...}",
             [&server](http::Request& request, http::Response& response) { return serve(server, request, response); },
             {.body_size_bytes_max = kPutBytesMax});
}

Task<Result<LocalAnswer>> ask(Server& server, auth::PrincipalPtr principal, const LocalRequest& request) {
  // Through the parser, so that nothing gets in that a client could not send.
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const auto& [name, value] : request.fields) text += name + ": " + value + "\r\n";
  text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n\r\n";
  http::h1::RequestParser parser;
  auto parsed = parser.feed(as_bytes(text));
  if (!parsed || *parsed != http::h1::Progress::kComplete)
    co_return fail(Code::kInvalid, "not a request: " + request.target);
  http::Response response;
  LocalExchange exchange(request.body, response);
  response.begin(exchange);
  http::Request inner;
  inner.begin(exchange, parser.head(), kPutBytesMax, {});
  co_await server.service().handle_as(std::move(principal), inner, response);
  if (!response.finished()) co_return fail(Code::kIo, "the object store gave no whole answer");
  co_return LocalAnswer{response.status(), exchange.take_answer()};
}

}  // namespace polis::object
