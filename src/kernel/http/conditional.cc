#include "kernel/http/conditional.h"

#include <chrono>

#include "kernel/http/date.h"

namespace polis::http {
namespace {

bool weak(std::string_view etag) {
  return etag.starts_with("W/");
}

// Without W/ and without quotes.
std::string_view opaque(std::string_view etag) {
  if (weak(etag)) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

// Takes the next tag from a list. Inside an entity tag nothing escapes and a comma is text (§8.8.3), so the list rule
// of quoted strings does not fit.
bool next_etag(std::string_view& list, std::string_view& etag) {
  while (!list.empty() && (list.front() == ' ' || list.front() == '\t' || list.front() == ',')) list.remove_prefix(1);
  if (list.empty()) return false;
  size_t at = weak(list) ? 2 : 0;
  size_t end = std::string_view::npos;
  if (at < list.size() && list[at] == '"') {
    size_t close = list.find('"', at + 1);
    end = close == std::string_view::npos ? close : close + 1;
  } else {
    end = list.find(',');
  }
  etag = trim_blanks(list.substr(0, end));
  list.remove_prefix(end == std::string_view::npos ? list.size() : end);
  return true;
}

template <class Equal>
bool any_matches(const Fields& fields, Field id, const Validators& current, Equal equal) {
  for (FieldLine line : fields) {
    if (line.id != id) continue;
    if (line.value == "*") {
      if (current.exists) return true;
      continue;
    }
    std::string_view list = line.value, etag;
    while (next_etag(list, etag)) {
      if (current.exists && !current.etag.empty() && equal(etag, current.etag)) return true;
    }
  }
  return false;
}

std::optional<WallTime> date_of(const Fields& fields, Field id) {
  auto value = fields.get(id);
  return value ? parse_date(*value) : std::nullopt;
}

// Conditions speak in whole seconds.
WallTime whole_seconds(WallTime time) {
  return WallTime(std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()));
}

}  // namespace

bool strongly_equal(std::string_view a, std::string_view b) {
  return !weak(a) && !weak(b) && opaque(a) == opaque(b);
}
bool weakly_equal(std::string_view a, std::string_view b) {
  return opaque(a) == opaque(b);
}

Precondition evaluate_preconditions(Method method, const Fields& fields, const Validators& current) {
  const bool reading = method == Method::kGet || method == Method::kHead;
  if (fields.count(Field::kIfMatch)) {
    if (!any_matches(fields, Field::kIfMatch, current, strongly_equal)) return Precondition::kFailed;
  } else if (auto date = date_of(fields, Field::kIfUnmodifiedSince); date && current.last_modified) {
    if (whole_seconds(*current.last_modified) > *date) return Precondition::kFailed;
  }
  if (fields.count(Field::kIfNoneMatch)) {
    if (any_matches(fields, Field::kIfNoneMatch, current, weakly_equal)) {
      return reading ? Precondition::kNotModified : Precondition::kFailed;
    }
  } else if (auto date = date_of(fields, Field::kIfModifiedSince); reading && date && current.last_modified) {
    if (whole_seconds(*current.last_modified) <= *date) return Precondition::kNotModified;
  }
  return Precondition::kProceed;
}

bool range_allowed(const Fields& fields, const Validators& current) {
  auto condition = fields.get(Field::kIfRange);
  if (!condition) return true;
  if (condition->starts_with('"') || weak(*condition)) {
    return !current.etag.empty() && strongly_equal(*condition, current.etag);
  }
  auto date = parse_date(*condition);
  return date && current.last_modified && whole_seconds(*current.last_modified) == *date;
}

}  // namespace polis::http
