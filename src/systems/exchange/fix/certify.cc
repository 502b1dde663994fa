#include "systems/exchange/fix/certify.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sstream>

namespace polis::exchange::fix {

namespace {

constexpr int64_t kTestSecond = 1'000'000'000;
constexpr size_t kDefinitionBytesMax = 1 << 20;

struct Step {
  enum class Kind : uint8_t { kSend, kExpect, kConnect, kDisconnect, kExpectDisconnect };
  Kind kind = Kind::kSend;
  int connection = 1;
  std::string_view text;
  size_t line = 0;
};

Result<std::vector<Step>> read_steps(std::string_view text) {
  std::vector<Step> steps;
  size_t line = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    auto one = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    ++line;
    while (!one.empty() && (one.back() == '\r' || one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    if (one.empty() || one.front() == '#') continue;
    Step step;
    step.line = line;
    const char kind = one.front();
    one.remove_prefix(1);
    if (one.size() > 2 && one[0] >= '1' && one[0] <= '9' && one[1] == ',') {
      step.connection = one[0] - '0';
      one.remove_prefix(2);
    }
    step.text = one;
    if (kind == 'I') {
      step.kind = Step::Kind::kSend;
    } else if (kind == 'E') {
      step.kind = Step::Kind::kExpect;
    } else if (kind == 'i' && one == "CONNECT") {
      step.kind = Step::Kind::kConnect;
    } else if (kind == 'i' && one == "DISCONNECT") {
      step.kind = Step::Kind::kDisconnect;
    } else if (kind == 'e' && one == "DISCONNECT") {
      step.kind = Step::Kind::kExpectDisconnect;
    } else {
      return fail(Code::kInvalid, fmt::format("line {}: neither I, E, iCONNECT, iDISCONNECT nor eDISCONNECT", line));
    }
    steps.push_back(step);
  }
  return steps;
}

// <TIME>, <TIME+n>, <TIME-n>.
std::string with_times(std::string_view text, VenueTime now) {
  std::string result;
  while (true) {
    const size_t begin = text.find("<TIME");
    const size_t end = begin == text.npos ? begin : text.find('>', begin);
    if (end == text.npos) break;
    result.append(text.substr(0, begin));
    auto offset = text.substr(begin + 5, end - begin - 5);
    int64_t seconds = 0;
    if (offset.size() > 1) {
      seconds = read_number(offset.substr(1)).value_or(0);
      if (offset[0] == '-') seconds = -seconds;
    }
    char time[21];
    write_timestamp(now + seconds * kTestSecond, time);
    result.append(time, 17);
    text.remove_prefix(end + 1);
  }
  return result.append(text);
}

// With BodyLength and CheckSum, where the definition leaves them to us.
std::string completed(std::string message) {
  if (!message.starts_with("8=")) return message;
  const std::string separator(1, kSeparator);
  const size_t version_end = message.find(kSeparator);
  if (version_end == message.npos) return message;
  size_t sum = message.find(separator + "10=");
  if (message.compare(version_end + 1, 2, "9=") != 0) {
    const size_t body = version_end + 1;
    const size_t length = (sum == message.npos ? message.size() : sum + 1) - body;
    message.insert(body, fmt::format("9={}{}", length, kSeparator));
    sum = message.find(separator + "10=");
  }
  if (sum == message.npos) {
    uint32_t total = 0;
    for (const char c : message) total += static_cast<uint8_t>(c);
    message += fmt::format("10={:03}{}", total % 256, kSeparator);
  }
  return message;
}

std::vector<std::string_view> split_fields(std::string_view message) {
  std::vector<std::string_view> fields;
  while (!message.empty()) {
    const size_t end = std::min(message.find(kSeparator), message.size());
    fields.push_back(message.substr(0, end));
    message.remove_prefix(std::min(message.size(), end + 1));
  }
  return fields;
}

bool same_field(std::string_view expected, std::string_view found) {
  if (expected == found) return true;
  const auto tag = expected.substr(0, expected.find('='));
  if (found.substr(0, found.find('=')) != tag) return false;
  const auto value = found.substr(std::min(found.size(), tag.size() + 1));
  if (tag == "10") return value.size() == 3 && read_number(value).has_value();
  if (tag == "42" || tag == "52" || tag == "60" || tag == "122") return read_timestamp(value).has_value();
  return false;
}

bool agree(std::string_view expected, std::string_view found) {
  const auto a = split_fields(expected), b = split_fields(found);
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same_field);
}

std::string printable(std::string_view message) {
  std::string text(message);
  std::replace(text.begin(), text.end(), kSeparator, '|');
  return text;
}

Task<Result<void>> run_step(const Step& step, CertifyTarget& target, std::set<int>& open) {
  switch (step.kind) {
    case Step::Kind::kConnect:
      CO_TRY(co_await target.connect(step.connection));
      open.insert(step.connection);
      break;
    case Step::Kind::kDisconnect:
      target.disconnect(step.connection);
      open.erase(step.connection);
      break;
    case Step::Kind::kSend:
      CO_TRY(co_await target.send(step.connection, completed(with_times(step.text, target.now()))));
      break;
    case Step::Kind::kExpect: {
      const auto expected = completed(with_times(step.text, target.now()));
      const auto found = CO_TRY(co_await target.receive(step.connection));
      if (!found) {
        co_return fail(Code::kConflict, fmt::format("expected {}; the connection ended", printable(expected)));
      }
      if (!agree(expected, *found)) {
        co_return fail(Code::kConflict, fmt::format("expected {}; came {}", printable(expected), printable(*found)));
      }
      break;
    }
    case Step::Kind::kExpectDisconnect: {
      const auto found = CO_TRY(co_await target.receive(step.connection));
      if (found) {
        co_return fail(Code::kConflict, fmt::format("expected the end of the connection; came {}", printable(*found)));
      }
      target.disconnect(step.connection);
      open.erase(step.connection);
      break;
    }
  }
  co_return Result<void>();
}

}  // namespace

Result<std::vector<Definition>> read_definitions(const std::string& directory) {
  std::vector<Definition> definitions;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".def") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) return fail(Code::kIo, fmt::format("cannot read {}", entry.path().string()));
    if (text.view().size() > kDefinitionBytesMax) {
      return fail(Code::kTooLarge, fmt::format("{} is larger than a definition", entry.path().string()));
    }
    definitions.push_back({entry.path().stem().string(), text.str()});
  }
  if (error) return fail(Code::kNotFound, fmt::format("cannot read directory {}: {}", directory, error.message()));
  if (definitions.empty()) return fail(Code::kNotFound, fmt::format("no definitions (*.def) in {}", directory));
  std::sort(definitions.begin(), definitions.end(),
            [](const Definition& a, const Definition& b) { return a.name < b.name; });
  return definitions;
}

Task<CertifyOutcome> certify(const Definition& definition, CertifyTarget& target) {
  CertifyOutcome outcome{definition.name, {}, 0};
  const VenueTime begin = target.now();
  std::set<int> open;
  const auto steps = read_steps(definition.text);
  if (!steps) {
    outcome.failure = steps.error().text();
    co_return outcome;
  }
  for (const auto& step : *steps) {
    const auto done = co_await run_step(step, target, open);
    if (done) continue;
    outcome.failure = fmt::format("line {}: {}", step.line, done.error().text());
    break;
  }
  for (const int connection : open) target.disconnect(connection);
  outcome.seconds = static_cast<double>(target.now() - begin) / kTestSecond;
  co_return outcome;
}

}  // namespace polis::exchange::fix
