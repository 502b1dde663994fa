#include "app/server/first_start.h"

#include <boost/json.hpp>
#include <cstdlib>

namespace polis::app {
namespace {

namespace json = boost::json;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// `size` characters of an alphabet of at most 64; each carries its full entropy.
std::string random_text(Random& random, size_t size, std::string_view alphabet) {
  std::string text(size, ' ');
  for (char& c : text) c = alphabet[random.below(alphabet.size())];
  return text;
}

constexpr std::string_view kLettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kCapitalsAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void keep(std::string& preset, const json::object& object, const char* member) {
  if (!preset.empty()) return;
  if (const json::value* value = object.if_contains(member); value && value->is_string())
    preset = std::string(value->get_string());
}

}  // namespace

auth::RootPresets presets_of_environment() {
  return {.user = environment("POLIS_ROOT_USER"),
          .password = environment("POLIS_ROOT_PASSWORD"),
          .access_key = environment("POLIS_ROOT_ACCESS_KEY"),
          .secret_key = environment("POLIS_ROOT_SECRET_KEY")};
}

Task<Result<std::optional<std::string>>> make_root_user(auth::Directory& directory, DataDirectory& data,
                                                        auth::RootPresets presets, Random& random) {
  if (!CO_TRY(co_await directory.users()).empty()) co_return std::optional<std::string>();
  if (presets.access_key.empty() != presets.secret_key.empty())
    co_return fail(Code::kInvalid, "POLIS_ROOT_ACCESS_KEY and POLIS_ROOT_SECRET_KEY belong together: set both or none");
  std::string path = data.file("root-credentials.json");
  // A start that was killed between the file and the store left the file: keep what it says.
  if (auto text = read_text_file(path, 1 << 16)) {
    boost::system::error_code error;
    json::value value = json::parse(*text, error);
    if (!error && value.is_object()) {
      keep(presets.user, value.get_object(), "user");
      keep(presets.password, value.get_object(), "password");
      if (presets.access_key.empty()) {
        keep(presets.access_key, value.get_object(), "access_key");
        keep(presets.secret_key, value.get_object(), "secret_key");
      }
    }
  }
  if (presets.user.empty()) presets.user = "root";
  if (presets.password.empty()) presets.password = random_text(random, 24, kLettersAndDigits);  // 142 bits
  if (presets.access_key.empty()) {
    presets.access_key = "PLIS" + random_text(random, 16, kCapitalsAndDigits);
    presets.secret_key = random_text(random, 40, kLettersAndDigits);  // 238 bits
  }
  std::string document = json::serialize(json::object{{"user", presets.user},
                                                      {"password", presets.password},
                                                      {"access_key", presets.access_key},
                                                      {"secret_key", presets.secret_key}}) +
                         "\n";
  CO_TRY(data.write_credentials(document));
  auto made = CO_TRY(co_await directory.bootstrap(std::move(presets)));
  POLIS_ASSERT(made.has_value());
  co_return std::optional<std::string>(std::move(path));
}

}  // namespace polis::app
