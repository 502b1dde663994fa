#include "kernel/http/client.h"

#include <arpa/inet.h>
#include <netdb.h>

namespace polis::http {
namespace {

constexpr size_t kClientBufferBytes = 16 * 1024;
constexpr size_t kPiece = 64 * 1024;
// How long a server may take to ask for the body before it is sent anyway (RFC 9110 §10.1.1).
constexpr Duration kContinueWait = std::chrono::seconds(1);

bool may_repeat(std::string_view method) {
  switch (method_of(method)) {
    case Method::kGet:
    case Method::kHead:
    case Method::kPut:
    case Method::kDelete:
    case Method::kOptions:
    case Method::kTrace:
      return true;
    default:
      return false;
  }
}

Error broken(std::string_view rule) {
  return {Code::kCorrupt, "the server's response breaks HTTP: " + std::string(rule)};
}

}  // namespace

namespace detail {

struct ClientConnection {
  std::string key;  // scheme and authority
  std::unique_ptr<io::Stream> stream;
  SteadyTime kept_since{};
  bool reused = false;

  // Received bytes: the head of the response stays where it is, the body follows from `unread`.
  Bytes buffer = Bytes(kClientBufferBytes);
  size_t head_begin = 0, unread = 0, end = 0;
  h1::ResponseParser parser;
  h1::ChunkDecoder chunks;
  Method method = Method::kGet;
  bool heard = false;  // any byte of the present response
  bool body_sent = true;
  bool body_done = true;
  bool failed = false;
  uint64_t body_remaining = 0;
  Duration idle_timeout{};

  BytesView rest() const { return BytesView(buffer).subspan(unread, end - unread); }
};

}  // namespace detail

Task<Result<std::vector<io::Endpoint>>> resolve(std::string host, uint16_t port) {
  std::vector<io::Endpoint> endpoints;
  in6_addr parsed;
  if (inet_pton(AF_INET, host.c_str(), &parsed) == 1 || inet_pton(AF_INET6, host.c_str(), &parsed) == 1) {
    endpoints.push_back({host, port});
    co_return endpoints;
  }
  if (host == "localhost") {
    endpoints.push_back({"127.0.0.1", port});
    endpoints.push_back({"::1", port});
    co_return endpoints;
  }
  auto look_up = [&]() -> Result<std::vector<io::Endpoint>> {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    if (int code = getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
      return fail(Code::kUnavailable, "host '" + host + "' cannot be resolved: " + gai_strerror(code));
    }
    std::vector<io::Endpoint> out;
    for (addrinfo* entry = found; entry; entry = entry->ai_next) {
      char text[NI_MAXHOST];
      if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) {
        out.push_back({text, port});
      }
    }
    freeaddrinfo(found);
    return out;
  };
  co_return co_await io::blocking(look_up);
}

Client::Client(ClientOptions options) : options_(std::move(options)) {}
Client::~Client() = default;

std::unique_ptr<Client::Connection> Client::take_kept(const std::string& key) {
  auto at = kept_.find(key);
  if (at == kept_.end()) return nullptr;
  std::unique_ptr<Connection> found;
  // The latest one first: it is the least likely to have been closed.
  while (!at->second.empty() && !found) {
    found = std::move(at->second.back());
    at->second.pop_back();
    --kept_count_;
    if (io::Shard::current().now() - found->kept_since > options_.kept_for) found.reset();
  }
  if (at->second.empty()) kept_.erase(at);
  return found;
}

void Client::keep(std::unique_ptr<Connection> connection) {
  std::string key = connection->key;
  auto& list = kept_[key];
  if (list.size() >= options_.kept_per_authority_max || kept_count_ >= options_.kept_max) {
    if (list.empty()) kept_.erase(key);
    return;
  }
  connection->kept_since = io::Shard::current().now();
  if (connection->buffer.size() > kClientBufferBytes) connection->buffer = Bytes(kClientBufferBytes);
  connection->unread = connection->end = 0;
  list.push_back(std::move(connection));
  ++kept_count_;
}

Task<Result<std::unique_ptr<Client::Connection>>> Client::connect(const Url& url) {
  auto connection = std::make_unique<Connection>();
  std::vector<io::Endpoint> endpoints;
  if (url.unix_socket) {
    endpoints.push_back({url.host, 0, true});
  } else {
    endpoints = CO_TRY(co_await resolve(url.host, url.port));
  }
  if (url.tls && !options_.tls)
    co_return fail(Code::kUnsupported, "https needs a TLS context, and this client has none");
  Error last(Code::kUnavailable, "host '" + url.host + "' has no address");
  for (const io::Endpoint& endpoint : endpoints) {
    using Connected = Result<std::unique_ptr<io::Stream>>;
    auto stream = co_await io::with_timeout<Connected>(options_.connect_timeout, io::connect(endpoint));
    if (stream && url.tls) {
      auto secured = co_await io::with_timeout<Connected>(options_.connect_timeout,
                                                          io::tls_connect(std::move(*stream), options_.tls, url.host));
      stream = std::move(secured);
    }
    if (stream) {
      connection->stream = std::move(*stream);
      co_return connection;
    }
    last = stream.error();
    if (last.code() == Code::kCancelled) break;
  }
  Code code = last.code() == Code::kCancelled || last.code() == Code::kTimeout ? last.code() : Code::kUnavailable;
  co_return fail(Error(code, "cannot connect to " + (url.unix_socket ? url.host : url.authority()), std::move(last)));
}

Task<Result<ClientResponse>> Client::get(std::string_view url) {
  ClientRequest request;
  request.url = CO_TRY(Url::parse(url));
  co_return co_await send(std::move(request));
}

Task<Result<ClientResponse>> Client::send(ClientRequest request) {
  Duration timeout = request.timeout;
  co_return co_await io::with_timeout<Result<ClientResponse>>(timeout, send_within(request));
}

Task<Result<ClientResponse>> Client::send_within(ClientRequest& request) {
  const Url& url = request.url;
  if (!h1::valid_field_name(request.method)) co_return fail(Code::kInvalid, "the method is no token");
  if (!h1::valid_target(url.target))
    co_return fail(Code::kInvalid, "the target holds characters that must be percent-encoded");
  for (const auto& [name, value] : request.fields) {
    if (!h1::valid_field_name(name) || !h1::valid_field_value(value)) {
      co_return fail(Code::kInvalid, "the field '" + name + "' cannot be sent");
    }
  }
  std::string key = (url.unix_socket ? "unix:" + url.host : (url.tls ? "https://" : "http://") + url.authority());
  for (;;) {
    auto connection = take_kept(key);
    const bool reused = connection != nullptr;
    if (!connection) {
      connection = CO_TRY(co_await connect(url));
      connection->key = key;
    }
    auto done = co_await exchange(*connection, request);
    if (done) co_return ClientResponse(*this, std::move(connection));
    // A kept connection that the server had closed. It may still have acted on the request before, so only what may be
    // done twice is done again (RFC 9110 §9.2.2).
    if (reused && !connection->heard && !request.source && may_repeat(request.method) &&
        done.error().code() == Code::kClosed)
      continue;
    if (done.error().code() == Code::kClosed) {
      co_return fail(Error(Code::kUnavailable, "the server closed the connection without an answer", done.error()));
    }
    co_return fail(done.error());
  }
}

Task<Result<void>> Client::exchange(Connection& connection, const ClientRequest& request) {
  connection.method = method_of(request.method);
  connection.parser = h1::ResponseParser(connection.method, options_.limits);
  connection.chunks.reset();
  connection.unread = connection.end = 0;
  connection.heard = connection.failed = false;
  connection.body_done = false;
  connection.idle_timeout = options_.idle_timeout;

  std::string head;
  h1::append_request_line(head, request.method, request.url.target);
  bool has_host = false, has_agent = false;
  for (const auto& [name, value] : request.fields) {
    Field id = field_of(name);
    has_host |= id == Field::kHost;
    has_agent |= id == Field::kUserAgent;
  }
  if (!has_host) h1::append_field(head, "Host", request.url.authority());
  if (!has_agent && !options_.user_agent.empty()) h1::append_field(head, "User-Agent", options_.user_agent);
  for (const auto& [name, value] : request.fields) {
    Field id = field_of(name);
    if (id == Field::kContentLength || id == Field::kTransferEncoding || id == Field::kConnection ||
        id == Field::kExpect)
      continue;
    h1::append_field(head, name, value);
  }
  const bool chunked = request.source && !request.source->size_bytes();
  uint64_t size_bytes = request.source ? request.source->size_bytes().value_or(0) : request.body.size();
  bool body_expected =
      connection.method == Method::kPost || connection.method == Method::kPut || connection.method == Method::kPatch;
  if (chunked) {
    h1::append_field(head, "Transfer-Encoding", "chunked");
  } else if (size_bytes || body_expected) {
    h1::append_field(head, "Content-Length", size_bytes);
  }
  const bool ask = request.source && request.expect_continue;
  if (ask) h1::append_field(head, "Expect", "100-continue");
  head.append("\r\n");

  const BytesView parts[] = {as_bytes(head), request.source ? BytesView() : request.body};
  connection.body_sent = !request.source;
  auto written = co_await connection.stream->write(std::span(parts).first(parts[1].empty() ? 1 : 2));
  if (!written) {
    // A server may answer early and close while the body is still on its way; its answer is worth more than the error.
    connection.body_sent = false;
    auto early = co_await read_head(connection, false);
    if (early) co_return early;
    co_return fail(written.error());
  }
  if (ask) {
    auto interim = co_await io::with_timeout<Result<void>>(kContinueWait, read_head(connection, true));
    if (!interim && interim.error().code() != Code::kTimeout) co_return interim;
    if (interim && connection.parser.head().status >= 200) co_return Result<void>{};  // refused: the body stays here
  }
  if (request.source) {
    auto sent = co_await send_body(connection, request);
    if (!sent) {
      if (sent.error().code() != Code::kClosed) co_return sent;
      auto early = co_await read_head(connection, false);
      if (early) co_return early;
      co_return sent;
    }
    connection.body_sent = true;
  }
  co_return co_await read_head(connection, false);
}

Task<Result<void>> Client::send_body(Connection& connection, const ClientRequest& request) {
  const std::optional<uint64_t> size_bytes = request.source->size_bytes();
  uint64_t sent_bytes = 0;
  Bytes piece(kPiece);
  std::string chunk_head;
  for (;;) {
    size_t got = CO_TRY(co_await request.source->read(piece));
    if (got == 0) break;
    sent_bytes += got;
    if (size_bytes && sent_bytes > *size_bytes) co_return fail(Code::kInvalid, "the body is longer than announced");
    chunk_head.clear();
    if (!size_bytes) h1::append_chunk_head(chunk_head, got);
    const BytesView parts[] = {as_bytes(chunk_head), BytesView(piece).first(got), as_bytes("\r\n")};
    // Without chunks only the middle part.
    CO_TRY(co_await connection.stream->write(size_bytes ? std::span(parts).subspan(1, 1) : std::span(parts)));
  }
  if (!size_bytes) co_return co_await connection.stream->write(as_bytes(h1::kLastChunk));
  if (sent_bytes != *size_bytes) co_return fail(Code::kInvalid, "the body is shorter than announced");
  co_return Result<void>{};
}

// Reads until a final head, or with `interim_allowed` until 100. Continues where an earlier call was cancelled.
Task<Result<void>> Client::read_head(Connection& connection, bool interim_allowed) {
  for (;;) {
    if (connection.end != connection.unread) {
      auto progress = connection.parser.feed(connection.rest());
      if (!progress) {
        connection.failed = true;
        co_return fail(broken(progress.error().rule));
      }
      if (*progress == h1::Progress::kComplete) {
        const ResponseHead& head = connection.parser.head();
        if (head.status >= 200 || head.status == 101) {
          connection.body_done = head.framing == Framing::kNone;
          connection.body_remaining = head.content_length;
          connection.head_begin = connection.unread;
          connection.unread += connection.parser.head_size_bytes();
          co_return Result<void>{};
        }
        connection.unread += connection.parser.head_size_bytes();
        const bool proceed = head.status == 100;
        connection.parser.reset(connection.method);
        if (proceed && interim_allowed) co_return Result<void>{};
        continue;
      }
    }
    if (connection.end == connection.buffer.size()) {
      if (connection.unread != 0) {
        std::memmove(connection.buffer.data(), connection.buffer.data() + connection.unread,
                     connection.end - connection.unread);
        connection.end -= connection.unread;
        connection.unread = 0;
      } else {
        connection.buffer.resize(connection.buffer.size() * 2);  // the parser refuses a head before this grows far
      }
    }
    size_t got = CO_TRY(co_await connection.stream->read_some(MutableBytes(connection.buffer).subspan(connection.end)));
    connection.end += got;
    connection.heard = true;
  }
}

ClientResponse::ClientResponse(Client& client, std::unique_ptr<detail::ClientConnection> connection)
    : client_(&client), connection_(std::move(connection)) {}
ClientResponse::ClientResponse(ClientResponse&&) noexcept = default;
ClientResponse& ClientResponse::operator=(ClientResponse&& other) noexcept {
  if (this != &other) {
    release();
    client_ = other.client_;
    connection_ = std::move(other.connection_);
  }
  return *this;
}
ClientResponse::~ClientResponse() {
  release();
}

// The head lives in the connection's buffer, so the connection goes back only when nobody looks at the response any
// more.
void ClientResponse::release() {
  if (!connection_) return;
  const ResponseHead& head = connection_->parser.head();
  bool reusable = connection_->body_done && connection_->body_sent && !connection_->failed && head.keep_alive &&
                  head.status != 101 &&
                  connection_->rest().empty();  // bytes that nobody asked for make the connection suspect
  if (reusable) {
    client_->keep(std::move(connection_));
  } else {
    connection_.reset();
  }
}

const ResponseHead& ClientResponse::head() const {
  return connection_->parser.head();
}

std::optional<uint64_t> ClientResponse::content_length() const {
  if (head().framing == Framing::kChunked || head().framing == Framing::kUntilClose) return std::nullopt;
  return head().content_length;
}

const Fields& ClientResponse::trailers() const {
  return connection_->chunks.trailers();
}

Task<Result<size_t>> ClientResponse::read(MutableBytes into) {
  detail::ClientConnection& connection = *connection_;
  if (connection.body_done || into.empty()) co_return 0;
  if (connection.failed) co_return fail(Code::kClosed, "the response has failed before");
  const Framing framing = connection.parser.head().framing;
  if (framing == Framing::kLength && into.size() > connection.body_remaining) {
    into = into.first(static_cast<size_t>(connection.body_remaining));
  }
  for (;;) {
    if (connection.rest().empty()) {
      connection.unread = connection.end = connection.head_begin + connection.parser.head_size_bytes();
      const bool direct = framing != Framing::kChunked;
      // A long head leaves no room behind it for chunks.
      if (!direct && connection.buffer.size() - connection.end < 4096) {
        Bytes larger(connection.end + kClientBufferBytes);
        std::copy_n(connection.buffer.begin(), connection.end, larger.begin());
        connection.buffer.swap(larger);
        connection.parser.rebase(BytesView(connection.buffer).subspan(connection.head_begin));
      }
      MutableBytes target = direct ? into : MutableBytes(connection.buffer).subspan(connection.end);
      auto got =
          co_await io::with_timeout<Result<size_t>>(connection.idle_timeout, connection.stream->read_some(target));
      if (!got) {
        if (got.error().code() == Code::kClosed && framing == Framing::kUntilClose) {
          connection.body_done = true;
          co_return 0;
        }
        connection.failed = true;
        if (got.error().code() == Code::kClosed)
          co_return fail(Code::kCorrupt, "the server ended the response's body early");
        co_return fail(got.error());
      }
      if (direct) {
        if (framing == Framing::kLength) connection.body_remaining -= *got;
        connection.body_done = framing == Framing::kLength && connection.body_remaining == 0;
        co_return *got;
      }
      connection.end += *got;
    }
    BytesView input = connection.rest();
    if (framing != Framing::kChunked) {
      size_t size = std::min(into.size(), input.size());
      std::memcpy(into.data(), input.data(), size);
      connection.unread += size;
      if (framing == Framing::kLength) connection.body_remaining -= size;
      connection.body_done = framing == Framing::kLength && connection.body_remaining == 0;
      co_return size;
    }
    auto step = connection.chunks.feed(input.first(std::min(input.size(), into.size())));
    if (!step) {
      connection.failed = true;
      co_return fail(broken(step.error().rule));
    }
    connection.unread += step->consumed;
    if (step->done) {
      connection.body_done = true;
      co_return 0;
    }
    if (step->data.empty()) continue;
    std::memcpy(into.data(), step->data.data(), step->data.size());
    co_return step->data.size();
  }
}

Task<Result<Bytes>> ClientResponse::read_all(uint64_t size_bytes_max) {
  Bytes body;
  size_t filled = 0;
  for (;;) {
    if (filled == body.size()) body.resize(std::max(kClientBufferBytes, body.size() * 2));
    size_t got = CO_TRY(co_await read(MutableBytes(body).subspan(filled)));
    if (got == 0) break;
    filled += got;
    if (filled > size_bytes_max) {
      connection_->failed = true;
      co_return fail(Code::kTooLarge, "the response's body has more than " + std::to_string(size_bytes_max) + " bytes");
    }
  }
  body.resize(filled);
  co_return body;
}

}  // namespace polis::http
