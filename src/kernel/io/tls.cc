// TLS over any stream: OpenSSL on memory buffers, so that it never sees a socket.
#include <algorithm>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "kernel/io/file.h"
#include "kernel/io/peer_certificate.h"
#include "kernel/io/pollable_stream.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"

namespace polis::io {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using OwnedContext = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using OwnedSsl = std::unique_ptr<SSL, Freed<SSL_free>>;
using OwnedBio = std::unique_ptr<BIO, Freed<BIO_free>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using OwnedCertificate = std::unique_ptr<X509, Freed<X509_free>>;

Error tls_error(Code code, std::string what) {
  const unsigned long number = ERR_get_error();
  ERR_clear_error();
  if (number == 0) return Error(code, std::move(what));
  char text[256];
  ERR_error_string_n(number, text, sizeof text);
  return Error(code, what + ": " + text);
}

class Context final : public TlsContext {
 public:
  explicit Context(OwnedContext context) : context_(std::move(context)) {}
  SSL_CTX* get() const { return context_.get(); }
  std::string protocols_wire;  // ALPN: each name behind its length
  bool verify = false;

 private:
  OwnedContext context_;
};

Result<std::string> alpn_wire(std::span<const std::string> protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return fail(Code::kInvalid, "an ALPN name has 1 to 255 bytes");
    wire.push_back(static_cast<char>(protocol.size()));
    wire += protocol;
  }
  return wire;
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void* argument) {
  const auto& ours = static_cast<Context*>(argument)->protocols_wire;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<void> use_certificate(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem) {
  OwnedBio chain(BIO_new_mem_buf(chain_pem.data(), static_cast<int>(chain_pem.size())));
  OwnedCertificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1)
    return fail(tls_error(Code::kInvalid, "the certificate is not a PEM certificate"));
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr))
    if (SSL_CTX_add0_chain_cert(context, next) != 1)
      return fail(tls_error(Code::kInvalid, "the certificate chain is not usable"));
  ERR_clear_error();  // the end of the PEM text is reported as an error
  OwnedBio key_text(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  OwnedKey key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return fail(tls_error(Code::kInvalid, "the private key is not PEM or does not belong to the certificate"));
  return {};
}

Result<void> trust(SSL_CTX* context, const std::string& authorities_pem) {
  OwnedBio text(BIO_new_mem_buf(authorities_pem.data(), static_cast<int>(authorities_pem.size())));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  size_t count = 0;
  while (OwnedCertificate next{PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)}) {
    if (X509_STORE_add_cert(store, next.get()) != 1)
      return fail(tls_error(Code::kInvalid, "an authority certificate is not usable"));
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return fail(Code::kInvalid, "the authorities are not PEM certificates");
  return {};
}

Result<OwnedContext> new_context(const SSL_METHOD* method) {
  OwnedContext context(SSL_CTX_new(method));
  if (!context) return fail(tls_error(Code::kIo, "no TLS context"));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (SSL_CTX_set1_groups_list(context.get(), "X25519:P-256:P-384") != 1)
    return fail(tls_error(Code::kIo, "the TLS groups are not available"));
  return context;
}

class TlsStream final : public Stream, public PollableStream {
 public:
  TlsStream(std::unique_ptr<Stream> lower, std::shared_ptr<TlsContext> context, OwnedSsl ssl)
      : lower_(std::move(lower)),
        lower_pollable_(pollable(*lower_)),
        context_(std::move(context)),
        ssl_(std::move(ssl)) {
    from_peer_ = BIO_new(BIO_s_mem());
    to_peer_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), from_peer_, to_peer_);  // owned by the SSL from here on
  }

  Task<Result<void>> handshake() {
    while (true) {
      ERR_clear_error();
      const int status = SSL_do_handshake(ssl_.get());
      const int reason = SSL_get_error(ssl_.get(), status);
      // Flushed in any case: a failed handshake has an alert to send.
      auto flushed = co_await flush();
      if (status == 1) {
        CO_TRY(std::move(flushed));
        remember_protocol();
        co_return {};
      }
      if (reason != SSL_ERROR_WANT_READ)
        co_return fail(tls_error(Code::kInvalid, "TLS handshake with " + peer().text() + " failed"));
      CO_TRY(std::move(flushed));
      CO_TRY(co_await fill());
    }
  }

  Task<Result<size_t>> read_some(MutableBytes into) override {
    while (true) {
      ERR_clear_error();
      size_t n = 0;
      if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &n) == 1) co_return n;
      switch (SSL_get_error(ssl_.get(), 0)) {
        case SSL_ERROR_WANT_READ:
          break;
        case SSL_ERROR_ZERO_RETURN:
          co_return fail(Code::kClosed, "the peer has ended the connection");
        default:
          co_return fail(tls_error(Code::kIo, "TLS read from " + peer().text() + " failed"));
      }
      CO_TRY(co_await flush());  // a key update may want to answer
      CO_TRY(co_await filled());
    }
  }

  Task<Result<void>> readable() override {
    CO_TRY(co_await flush());  // a key update may want to answer
    // Over a stream that cannot be polled the ciphertext is fetched here.
    if (!lower_pollable_) co_return co_await filled();
    // A handshake may have left a buffer behind.
    input_ = {};
    co_return co_await lower_pollable_->readable();
  }

  Result<size_t> try_read(MutableBytes into) override {
    std::array<std::byte, kRecordBytes> ciphertext;
    while (true) {
      ERR_clear_error();
      size_t n = 0;
      if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &n) == 1) return n;
      switch (SSL_get_error(ssl_.get(), 0)) {
        case SSL_ERROR_WANT_READ:
          break;
        case SSL_ERROR_ZERO_RETURN:
          return fail(Code::kClosed, "the peer has ended the connection");
        default:
          return fail(tls_error(Code::kIo, "TLS read from " + peer().text() + " failed"));
      }
      if (!lower_pollable_) return size_t{0};
      auto got = lower_pollable_->try_read(ciphertext);
      if (!got) return cut(std::move(got).error());
      if (*got == 0) return size_t{0};
      POLIS_ASSERT(BIO_write(from_peer_, ciphertext.data(), static_cast<int>(*got)) == static_cast<int>(*got));
    }
  }

  void cork(bool on) override {
    if (lower_pollable_) lower_pollable_->cork(on);
  }

  Task<Result<void>> write(std::span<const BytesView> parts) override {
    // Small parts share a record: a record costs 22 bytes and a call.
    std::array<std::byte, kGatherBytes> gathered;
    size_t held = 0;
    for (BytesView part : parts) {
      if (part.size() + held <= gathered.size()) {
        std::copy(part.begin(), part.end(), gathered.begin() + static_cast<ptrdiff_t>(held));
        held += part.size();
        continue;
      }
      if (held > 0) CO_TRY(co_await encrypt(BytesView(gathered).first(held)));
      held = 0;
      CO_TRY(co_await encrypt(part));
    }
    if (held > 0) CO_TRY(co_await encrypt(BytesView(gathered).first(held)));
    co_return co_await flush();
  }

  Task<Result<void>> send_file(File& file, ByteRange range) override {
    Bytes buffer(std::min<uint64_t>(range.size, kFlushBytes));
    while (range.size > 0) {
      const MutableBytes slice = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), range.size));
      const size_t n = CO_TRY(co_await file.read_at(range.offset, slice));
      if (n == 0) co_return fail(Code::kOutOfRange, file.path() + " ends before the range that was to be sent");
      CO_TRY(co_await encrypt(BytesView(slice).first(n)));
      CO_TRY(co_await flush());
      range.offset += n;
      range.size -= n;
    }
    co_return {};
  }

  Task<Result<void>> finish() override {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    CO_TRY(co_await flush());
    co_return co_await lower_->finish();
  }

  void close() override { lower_->close(); }
  Task<Result<void>> peer_gone() override { return lower_->peer_gone(); }
  const Endpoint& peer() const override { return lower_->peer(); }
  const Endpoint& local() const override { return lower_->local(); }
  bool encrypted() const override { return true; }
  std::string_view application_protocol() const override { return protocol_; }

  std::string peer_common_name() const {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    if (!certificate) return {};
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) return {};
    std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
    return name.find('\0') == std::string::npos ? name : std::string();
  }

 private:
  static constexpr size_t kRecordBytes = 16 * 1024 + 512;
  static constexpr size_t kGatherBytes = 4 * 1024;
  static constexpr size_t kFlushBytes = 64 * 1024;

  void remember_protocol() {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    protocol_.assign(reinterpret_cast<const char*>(name), size);
  }

  static std::unexpected<Error> cut(Error error) {
    if (error.code() != Code::kClosed) return std::unexpected(std::move(error));
    return fail(Error(Code::kIo, "the connection was cut without a TLS close", std::move(error)));
  }
  Task<Result<void>> filled() {
    auto done = co_await fill();
    if (!done) co_return cut(std::move(done).error());
    co_return {};
  }

  // Ciphertext of the peer into the engine.
  Task<Result<void>> fill() {
    if (input_.empty()) input_.resize(kRecordBytes);
    const size_t n = CO_TRY(co_await lower_->read_some(input_));
    POLIS_ASSERT(BIO_write(from_peer_, input_.data(), static_cast<int>(n)) == static_cast<int>(n));
    co_return {};
  }

  Task<Result<void>> encrypt(BytesView part) {
    while (!part.empty()) {
      ERR_clear_error();
      size_t n = 0;
      const size_t slice = std::min(part.size(), kFlushBytes);
      if (SSL_write_ex(ssl_.get(), part.data(), slice, &n) != 1)
        co_return fail(tls_error(Code::kClosed, "TLS write to " + peer().text() + " failed"));
      part = part.subspan(n);
      if (static_cast<size_t>(BIO_pending(to_peer_)) >= kFlushBytes) CO_TRY(co_await flush());
    }
    co_return {};
  }

  // Ciphertext of the engine to the peer. A reader and a writer may both come here: one at a time, so that records keep
  // their order.
  Task<Result<void>> flush() {
    if (BIO_pending(to_peer_) == 0 && !flushing_) co_return {};
    CO_TRY(co_await one_flush_.acquire());
    flushing_ = true;
    Result<void> written;
    while (written && BIO_pending(to_peer_) > 0) {
      output_.resize(static_cast<size_t>(BIO_pending(to_peer_)));
      BIO_read(to_peer_, output_.data(), static_cast<int>(output_.size()));
      written = co_await lower_->write(BytesView(output_));
    }
    if (output_.capacity() > 2 * kFlushBytes) output_ = {};
    flushing_ = false;
    one_flush_.release();
    co_return written;
  }

  std::unique_ptr<Stream> lower_;
  PollableStream* const lower_pollable_;
  std::shared_ptr<TlsContext> context_;  // shared with every connection of the listener; lives as long as the last
  OwnedSsl ssl_;
  BIO* from_peer_;
  BIO* to_peer_;
  Bytes input_;
  Bytes output_;
  Semaphore one_flush_{1};
  bool flushing_ = false;
  std::string protocol_;
};

Task<Result<std::unique_ptr<Stream>>> shake_hands(std::unique_ptr<TlsStream> stream) {
  CO_TRY(co_await stream->handshake());
  co_return std::move(stream);
}

}  // namespace

std::string peer_common_name(const Stream& stream) {
  const auto* secured = dynamic_cast<const TlsStream*>(&stream);
  return secured ? secured->peer_common_name() : std::string();
}

Result<std::shared_ptr<TlsContext>> TlsContext::server(const ServerOptions& options) {
  auto context = std::make_shared<Context>(TRY(new_context(TLS_server_method())));
  TRY(use_certificate(context->get(), options.certificate_chain_pem, options.private_key_pem));
  context->protocols_wire = TRY(alpn_wire(options.protocols));
  if (!context->protocols_wire.empty()) SSL_CTX_set_alpn_select_cb(context->get(), choose_protocol, context.get());
  if (!options.client_authorities_pem.empty()) {
    TRY(trust(context->get(), options.client_authorities_pem));
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  const unsigned char session_context[] = "polis";
  SSL_CTX_set_session_id_context(context->get(), session_context, sizeof session_context - 1);
  return context;
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(const ClientOptions& options) {
  auto context = std::make_shared<Context>(TRY(new_context(TLS_client_method())));
  context->protocols_wire = TRY(alpn_wire(options.protocols));
  context->verify = options.verify;
  if (options.verify) {
    if (options.authorities_pem.empty()) {
      SSL_CTX_set_default_verify_paths(context->get());
    } else {
      TRY(trust(context->get(), options.authorities_pem));
    }
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
  }
  if (!options.certificate_chain_pem.empty())
    TRY(use_certificate(context->get(), options.certificate_chain_pem, options.private_key_pem));
  return context;
}

Task<Result<std::unique_ptr<Stream>>> tls_accept(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context) {
  auto& own = static_cast<Context&>(*context);
  OwnedSsl ssl(SSL_new(own.get()));
  if (!ssl) co_return fail(tls_error(Code::kIo, "no TLS connection"));
  SSL_set_accept_state(ssl.get());
  co_return co_await shake_hands(std::make_unique<TlsStream>(std::move(stream), std::move(context), std::move(ssl)));
}

Task<Result<std::unique_ptr<Stream>>> tls_connect(std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context,
                                                  std::string host) {
  auto& own = static_cast<Context&>(*context);
  OwnedSsl ssl(SSL_new(own.get()));
  if (!ssl) co_return fail(tls_error(Code::kIo, "no TLS connection"));
  SSL_set_connect_state(ssl.get());
  const bool is_address =
      Endpoint::parse(host.find(':') == std::string::npos ? host + ":0" : "[" + host + "]:0").has_value() &&
      host != "localhost";
  if (is_address) {
    if (own.verify) X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    if (own.verify) SSL_set1_host(ssl.get(), host.c_str());
  }
  if (!own.protocols_wire.empty())
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(own.protocols_wire.data()),
                        static_cast<unsigned>(own.protocols_wire.size()));
  co_return co_await shake_hands(std::make_unique<TlsStream>(std::move(stream), std::move(context), std::move(ssl)));
}

Result<Certificate> make_self_signed(std::span<const std::string> names, Duration lifetime) {
  if (names.empty()) return fail(Code::kInvalid, "a certificate needs at least one name");
  OwnedKey key(EVP_EC_gen("P-256"));
  OwnedCertificate certificate(X509_new());
  if (!key || !certificate) return fail(tls_error(Code::kIo, "no key for a certificate"));
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::unique_ptr<BIGNUM, Freed<BN_free>> serial(BN_new());
  BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);  // RFC 5280 §4.1.2.2: positive, at most 20 octets
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get()));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);  // clocks of clients may be behind
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(lifetime / std::chrono::seconds(1)));
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(names[0].c_str()), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  std::string alternatives;
  for (const std::string& each : names) {
    const bool address =
        each.find(':') != std::string::npos || each.find_first_not_of("0123456789.") == std::string::npos;
    alternatives += (alternatives.empty() ? "" : ",") + std::string(address ? "IP:" : "DNS:") + each;
  }
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
  for (const auto& [id, value] : {std::pair<int, std::string>{NID_subject_alt_name, alternatives},
                                  {NID_basic_constraints, "critical,CA:TRUE"},
                                  {NID_ext_key_usage, "serverAuth,clientAuth"}}) {
    std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
        X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
    if (!extension || X509_add_ext(certificate.get(), extension.get(), -1) != 1)
      return fail(tls_error(Code::kInvalid, "the names cannot stand in a certificate: " + alternatives));
  }
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return fail(tls_error(Code::kIo, "the certificate cannot be signed"));

  auto text = [](BIO* bio) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(bio, &bytes);
    return std::string(bytes, static_cast<size_t>(size));
  };
  OwnedBio chain(BIO_new(BIO_s_mem())), private_key(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(chain.get(), certificate.get());
  PEM_write_bio_PKCS8PrivateKey(private_key.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return Certificate{.chain_pem = text(chain.get()), .key_pem = text(private_key.get())};
}

}  // namespace polis::io
