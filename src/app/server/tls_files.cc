#include "app/server/tls_files.h"

#include "app/files/data_directory.h"
#include "kernel/obs/log.h"

namespace polis::app {
namespace {

// Chains of a dozen certificates stay far below.
constexpr uint64_t kPemBytesMax = 1 << 18;
// Browsers refuse more than 825 days (CA/Browser Forum ballot 193) even for certificates they were told to trust.
constexpr Duration kLifetime = std::chrono::hours(24 * 820);

}  // namespace

Task<Result<std::shared_ptr<io::TlsContext>>> open_tls(io::Disk& disk, std::string certificate, std::string key,
                                                       std::string keys_directory) {
  if (certificate.empty() != key.empty())
    co_return fail(Code::kInvalid, "main.tls_certificate and main.tls_key belong together: set both or none");
  if (certificate.empty()) {
    certificate = keys_directory + "/tls-certificate.pem";
    key = keys_directory + "/tls-key.pem";
    auto present = co_await disk.read_file(certificate, kPemBytesMax);
    if (!present && present.error().code() != Code::kNotFound) co_return fail(present.error());
    if (!present) {
      const std::string names[] = {"localhost", "127.0.0.1", "::1"};
      io::Certificate made = CO_TRY(io::make_self_signed(names, kLifetime));
      // The key first: a certificate without its key would be taken for whole.
      CO_TRY(write_private_file(key, made.key_pem));
      CO_TRY(write_private_file(certificate, made.chain_pem));
      obs::log_info("made a self-signed certificate", {{"file", certificate}});
    }
  }
  Bytes chain = CO_TRY(co_await disk.read_file(certificate, kPemBytesMax));
  Bytes secret = CO_TRY(co_await disk.read_file(key, kPemBytesMax));
  co_return io::TlsContext::server(
      {.certificate_chain_pem = std::string(as_text(chain)), .private_key_pem = std::string(as_text(secret))});
}

}  // namespace polis::app
