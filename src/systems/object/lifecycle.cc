#include "systems/object/lifecycle.h"

#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/http/date.h"
#include "systems/object/storage_class.h"

namespace polis::object {
namespace {

constexpr Duration kCalendarDay = std::chrono::hours(24);

// Of two that are due at once, the colder one is where the bytes belong.
int coldness(std::string_view storage_class) {
  return static_cast<int>(storage_class_named(storage_class).value_or(StorageClass::kStandard));
}

bool has_tags(const ObjectVersion& version, const Tags& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& tag) { return std::ranges::count(version.tags, tag) > 0; });
}

// Beside the prefix. A delete marker has neither tags nor a size: rules that ask for one do not speak of it.
bool filter_fits(const LifecycleRule& rule, const ObjectVersion& version) {
  if (version.delete_marker) return rule.tags.empty() && !rule.size_above_bytes && !rule.size_below_bytes;
  if (rule.size_above_bytes && version.size_bytes <= *rule.size_above_bytes) return false;
  if (rule.size_below_bytes && version.size_bytes >= *rule.size_below_bytes) return false;
  return has_tags(version, rule.tags);
}

std::optional<WallTime> earlier(std::optional<WallTime> a, std::optional<WallTime> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// By days after `from`, or on a date.
std::optional<WallTime> moment(const std::optional<uint32_t>& days, const std::optional<WallTime>& date, WallTime from,
                               const LifecycleCalendar& calendar) {
  if (days) return calendar.after(from, *days);
  return date;
}

bool locked(const ObjectVersion& version, WallTime now) {
  return version.legal_hold || (version.retention && version.retention.until > now);
}

// Where the bytes of a version belong by the transitions that are over, and when the next one comes.
struct Destination {
  std::optional<WallTime> at;
  std::string storage_class;
  std::optional<WallTime> next;

  void add(WallTime when, const std::string& asked, WallTime now) {
    if (when > now) {
      next = earlier(next, when);
      return;
    }
    if (at && (when < *at || (when == *at && coldness(asked) <= coldness(storage_class)))) return;
    at = when;
    storage_class = asked == name(StorageClass::kStandard) ? std::string() : asked;
  }
};

}  // namespace

WallTime LifecycleCalendar::after(WallTime from, uint32_t days) const {
  const Duration since_epoch = from.time_since_epoch();
  const __int128 sum = static_cast<__int128>(since_epoch.count()) + static_cast<__int128>(day.count()) * days;
  // A day short of the end, so that rounding stays inside.
  const Duration last = Duration::max() - kCalendarDay;
  if (sum >= last.count()) return WallTime(std::chrono::floor<std::chrono::days>(last));
  const auto exact = Duration(static_cast<int64_t>(sum));
  if (day != kCalendarDay) return WallTime(exact);
  return WallTime(std::chrono::ceil<std::chrono::days>(exact));
}

LifecycleReading::LifecycleReading(const Bucket& bucket, std::string_view key, WallTime now, LifecycleCalendar calendar)
    : now_(now), calendar_(calendar) {
  for (const LifecycleRule& rule : bucket.lifecycle)
    if (rule.enabled && key.starts_with(rule.prefix)) rules_.push_back(&rule);
}

void LifecycleReading::later(WallTime at) {
  next_ = earlier(next_, at);
}

void LifecycleReading::version(const ObjectVersion& version, bool only) {
  if (first_) {
    current(version, only);
  } else {
    noncurrent(version);
    if (!version.delete_marker) ++newer_count_;
  }
  first_ = false;
  // The sequence is the moment of its making in nanoseconds, whatever a rename kept of an older date.
  successor_at_ = WallTime(Duration(static_cast<int64_t>(std::min<Sequence>(version.sequence, INT64_MAX))));
}

void LifecycleReading::current(const ObjectVersion& version, bool only) {
  if (version.delete_marker && !only) return;
  std::optional<WallTime> expires;
  Destination destination;
  for (const LifecycleRule* rule : rules_) {
    if (!filter_fits(*rule, version)) continue;
    expires = earlier(expires, moment(rule->expiration_days, rule->expiration_date, version.modified_at, calendar_));
    if (version.delete_marker) {
      if (rule->expire_delete_marker) expires = earlier(expires, version.modified_at);
      continue;
    }
    for (const LifecycleRule::Transition& one : rule->transitions)
      if (auto at = moment(one.days, one.date, version.modified_at, calendar_))
        destination.add(*at, one.storage_class, now_);
  }
  if (expires && *expires <= now_) {
    due_.push_back({.kind = version.delete_marker ? LifecycleAction::Kind::kRemove : LifecycleAction::Kind::kExpire,
                    .version = {.null_version = version.null_version, .sequence = version.sequence}});
    return;
  }
  if (expires) later(*expires);
  if (destination.next) later(*destination.next);
  if (destination.at && destination.storage_class != version.metadata.storage_class)
    due_.push_back({.kind = LifecycleAction::Kind::kTransition,
                    .version = {.null_version = version.null_version, .sequence = version.sequence},
                    .storage_class = destination.storage_class});
}

void LifecycleReading::noncurrent(const ObjectVersion& version) {
  std::optional<WallTime> expires;
  Destination destination;
  auto enough_newer = [&](const std::optional<uint32_t>& kept) { return !kept || newer_count_ >= *kept; };
  for (const LifecycleRule* rule : rules_) {
    if (!filter_fits(*rule, version)) continue;
    if (rule->noncurrent_days && enough_newer(rule->newer_noncurrent_versions))
      expires = earlier(expires, calendar_.after(successor_at_, *rule->noncurrent_days));
    if (version.delete_marker) continue;
    for (const LifecycleRule::Transition& one : rule->noncurrent_transitions)
      if (one.days && enough_newer(one.newer_versions))
        destination.add(calendar_.after(successor_at_, *one.days), one.storage_class, now_);
  }
  const VersionId id{.null_version = version.null_version, .sequence = version.sequence};
  if (expires && *expires <= now_) {
    if (!locked(version, now_)) {
      due_.push_back({.kind = LifecycleAction::Kind::kRemove, .version = id});
      return;
    }
    // A retention says when it ends; a legal hold does not: it is asked for once a day.
    later(version.legal_hold ? calendar_.after(now_, 1) : version.retention.until);
  } else if (expires) {
    later(*expires);
  }
  if (destination.next) later(*destination.next);
  if (destination.at && destination.storage_class != version.metadata.storage_class)
    due_.push_back(
        {.kind = LifecycleAction::Kind::kTransition, .version = id, .storage_class = destination.storage_class});
}

void LifecycleReading::upload(const Upload& upload) {
  std::optional<WallTime> ends;
  for (const LifecycleRule* rule : rules_)
    if (rule->abort_upload_days) ends = earlier(ends, calendar_.after(upload.initiated_at, *rule->abort_upload_days));
  if (!ends) return;
  if (*ends <= now_)
    due_.push_back({.kind = LifecycleAction::Kind::kAbort, .upload = upload.id});
  else
    later(*ends);
}

bool has_lifecycle_rule_for(const Bucket& bucket, std::string_view key) {
  return std::ranges::any_of(bucket.lifecycle,
                             [&](const LifecycleRule& rule) { return rule.enabled && key.starts_with(rule.prefix); });
}

std::optional<WallTime> lifecycle_reminder(const Bucket& bucket, std::string_view key, const ObjectVersion& version,
                                           const ObjectVersion* previous, WallTime now, LifecycleCalendar calendar) {
  if (!has_lifecycle_rule_for(bucket, key)) return std::nullopt;
  LifecycleReading reading(bucket, key, now, calendar);
  reading.version(version, !previous);
  if (previous) {
    reading.version(*previous, false);
    // One more version may be what an older one waited for.
    for (const LifecycleRule& rule : bucket.lifecycle) {
      if (!rule.enabled || !key.starts_with(rule.prefix)) continue;
      if (rule.newer_noncurrent_versions) return now;
      for (const LifecycleRule::Transition& one : rule.noncurrent_transitions)
        if (one.newer_versions) return now;
    }
  }
  return reading.due().empty() ? reading.next() : std::optional(now);
}

std::vector<std::string> lifecycle_prefixes(const Bucket& bucket) {
  std::vector<std::string> all;
  for (const LifecycleRule& rule : bucket.lifecycle)
    if (rule.enabled) all.push_back(rule.prefix);
  std::ranges::sort(all);
  std::vector<std::string> out;
  for (std::string& prefix : all)
    if (out.empty() || !prefix.starts_with(out.back())) out.push_back(std::move(prefix));
  return out;
}

std::string expiration_header(const Bucket& bucket, std::string_view key, const ObjectVersion& version) {
  const LifecycleCalendar calendar;
  std::optional<WallTime> expires;
  const LifecycleRule* by = nullptr;
  for (const LifecycleRule& rule : bucket.lifecycle) {
    if (!rule.enabled || version.delete_marker || !key.starts_with(rule.prefix) || !filter_fits(rule, version))
      continue;
    auto at = moment(rule.expiration_days, rule.expiration_date, version.modified_at, calendar);
    if (!at || (expires && *expires <= *at)) continue;
    expires = at;
    by = &rule;
  }
  if (!by) return "";
  return "expiry-date=\"" + http::format_date(*expires) + "\", rule-id=\"" + base::url_encode(by->id) + "\"";
}

std::optional<AbortHeaders> abort_headers(const Bucket& bucket, const Upload& upload) {
  const LifecycleCalendar calendar;
  std::optional<WallTime> ends;
  const LifecycleRule* by = nullptr;
  for (const LifecycleRule& rule : bucket.lifecycle) {
    if (!rule.enabled || !rule.abort_upload_days || !upload.key.starts_with(rule.prefix)) continue;
    const WallTime at = calendar.after(upload.initiated_at, *rule.abort_upload_days);
    if (ends && *ends <= at) continue;
    ends = at;
    by = &rule;
  }
  if (!by) return std::nullopt;
  return AbortHeaders{.date = http::format_date(*ends), .rule_id = base::url_encode(by->id)};
}

}  // namespace polis::object
