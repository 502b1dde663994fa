#include "systems/object/lock.h"

#include <charconv>
#include <chrono>

#include "kernel/base/time_format.h"

namespace polis::object {
namespace {

// A positive number up to `max`; kInvalidRetentionPeriod for another number, kMalformedXml for no number at all.
Answer<uint32_t> parse_period(std::string_view text, uint32_t max) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool number = end == text.data() + text.size() && !text.empty();
  if (!number || error == std::errc::invalid_argument) return refuse(ErrorCode::kMalformedXml);
  if (error != std::errc() || value <= 0)
    return refuse(ErrorCode::kInvalidRetentionPeriod, "Default retention period must be a positive integer value");
  if (value > max) return refuse(ErrorCode::kInvalidRetentionPeriod, "Default retention period too large");
  return static_cast<uint32_t>(value);
}

Answer<WallTime> parse_until(std::string_view text, ErrorCode malformed, WallTime now) {
  auto until = base::parse_rfc3339(text);
  if (!until && until.error().code() == Code::kOutOfRange)
    return refuse(ErrorCode::kInvalidArgument, "The retain until date must lie before the year 2262");
  if (!until) return refuse(malformed, "The retain until date must be provided in ISO 8601 format");
  if (*until <= now) return refuse(ErrorCode::kInvalidArgument, "The retain until date must be in the future!");
  return *until;
}

}  // namespace

Answer<void> check_unlocked(const ObjectVersion& version, bool bypass_governance, WallTime now) {
  if (version.legal_hold)
    return refuse(ErrorCode::kAccessDenied, "Access Denied because a legal hold on the object version is on");
  if (!version.retention || version.retention.until <= now) return {};
  if (version.retention.mode == RetentionMode::kGovernance && bypass_governance) return {};
  return refuse(ErrorCode::kAccessDenied, "Access Denied because object protected by object lock until " +
                                              base::format_rfc3339(version.retention.until));
}

Answer<void> check_retention_change(const Retention& before, const Retention& after, bool bypass_governance,
                                    WallTime now) {
  if (!before || before.until <= now) return {};
  if (after.mode == before.mode && after.until >= before.until) return {};
  if (before.mode == RetentionMode::kGovernance && bypass_governance) return {};
  return refuse(ErrorCode::kAccessDenied,
                "Access Denied because object protected by object lock until " + base::format_rfc3339(before.until));
}

Retention retention_from(const DefaultRetention& rule, WallTime now) {
  Retention retention{.mode = rule.mode, .until = now + std::chrono::days(rule.days)};
  if (rule.years > 0) {
    auto day = std::chrono::floor<std::chrono::days>(now.time_since_epoch());
    std::chrono::year_month_day ahead =
        std::chrono::year_month_day(std::chrono::sys_days(day)) + std::chrono::years(static_cast<int>(rule.years));
    if (!ahead.ok()) ahead = ahead.year() / ahead.month() / std::chrono::last;
    retention.until = WallTime(std::chrono::sys_days(ahead).time_since_epoch() + (now.time_since_epoch() - day));
  }
  return retention;
}

std::optional<RetentionMode> retention_mode_named(std::string_view text) {
  for (RetentionMode mode : {RetentionMode::kGovernance, RetentionMode::kCompliance})
    if (name(mode) == text) return mode;
  return std::nullopt;
}

std::string_view name(RetentionMode mode) {
  switch (mode) {
    case RetentionMode::kNone:
      return "";
    case RetentionMode::kGovernance:
      return "GOVERNANCE";
    case RetentionMode::kCompliance:
      return "COMPLIANCE";
  }
  return "";
}

Answer<LockRequest> parse_lock_request(std::string_view mode, std::string_view until, std::string_view legal_hold,
                                       WallTime now) {
  LockRequest request;
  if (mode.empty() != until.empty())
    return refuse(ErrorCode::kInvalidArgument,
                  "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied");
  if (!mode.empty()) {
    auto named = retention_mode_named(mode);
    if (!named) return refuse(ErrorCode::kInvalidArgument, "Unknown wormMode directive.");
    request.retention = {.mode = *named, .until = ASK(parse_until(until, ErrorCode::kInvalidArgument, now))};
  }
  if (!legal_hold.empty()) {
    if (legal_hold != "ON" && legal_hold != "OFF")
      return refuse(ErrorCode::kInvalidArgument, "Legal Hold must be either of 'ON' or 'OFF'");
    request.legal_hold = legal_hold == "ON";
  }
  return request;
}

Answer<std::optional<DefaultRetention>> parse_lock_configuration(const XmlElement& document) {
  if (document.name != "ObjectLockConfiguration" || document.text_of("ObjectLockEnabled") != "Enabled")
    return refuse(ErrorCode::kMalformedXml);
  const XmlElement* rule = document.child("Rule");
  if (!rule) return std::optional<DefaultRetention>();
  const XmlElement* retention = rule->child("DefaultRetention");
  if (!retention) return refuse(ErrorCode::kMalformedXml);
  auto mode = retention_mode_named(retention->text_of("Mode"));
  const XmlElement* days = retention->child("Days");
  const XmlElement* years = retention->child("Years");
  if (!mode || !days == !years) return refuse(ErrorCode::kMalformedXml);
  DefaultRetention out{.mode = *mode};
  if (days) out.days = ASK(parse_period(days->text, kRetentionDaysMax));
  if (years) out.years = ASK(parse_period(years->text, kRetentionYearsMax));
  return std::optional<DefaultRetention>(out);
}

std::string lock_configuration_document(const std::optional<DefaultRetention>& rule) {
  XmlWriter xml("ObjectLockConfiguration");
  xml.element("ObjectLockEnabled", "Enabled");
  if (rule) {
    xml.open("Rule").open("DefaultRetention").element("Mode", name(rule->mode));
    if (rule->days > 0) xml.element("Days", rule->days);
    if (rule->years > 0) xml.element("Years", rule->years);
    xml.close().close();
  }
  return xml.finish();
}

Answer<Retention> parse_retention(const XmlElement& document, WallTime now) {
  if (document.name != "Retention") return refuse(ErrorCode::kMalformedXml);
  const XmlElement* mode = document.child("Mode");
  const XmlElement* until = document.child("RetainUntilDate");
  if (!mode && !until) return Retention{};
  if (!mode || !until) return refuse(ErrorCode::kMalformedXml);
  auto named = retention_mode_named(mode->text);
  if (!named) return refuse(ErrorCode::kMalformedXml);
  return Retention{.mode = *named, .until = ASK(parse_until(until->text, ErrorCode::kMalformedXml, now))};
}

Answer<bool> parse_legal_hold(const XmlElement& document) {
  std::string_view status = document.text_of("Status");
  if (document.name != "LegalHold" || (status != "ON" && status != "OFF")) return refuse(ErrorCode::kMalformedXml);
  return status == "ON";
}

}  // namespace polis::object
