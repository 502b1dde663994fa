// The document of a bucket's lifecycle rules, and what S3 refuses about it.
#include <algorithm>
#include <charconv>
#include <set>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/object/lifecycle.h"
#include "systems/object/storage_class.h"

namespace polis::object {
namespace {

using Transition = LifecycleRule::Transition;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

Answer<uint64_t> parse_count(const XmlElement& element, uint64_t min, uint64_t max, const std::string& what) {
  const std::string_view text = trimmed(element.text);
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return refuse(ErrorCode::kMalformedXml);
  if (error != std::errc() || value < 0 || static_cast<uint64_t>(value) < min || static_cast<uint64_t>(value) > max)
    return refuse(ErrorCode::kInvalidArgument, what);
  return static_cast<uint64_t>(value);
}

// S3 counts in signed 32 bits.
Answer<uint32_t> parse_days(const XmlElement& element, uint32_t min, std::string_view action) {
  return static_cast<uint32_t>(
      ASK(parse_count(element, min, INT32_MAX,
                      "'" + element.name + "' for " + std::string(action) +
                          (min > 0 ? " action must be a positive integer" : " action must be a nonnegative integer"))));
}

Answer<WallTime> parse_date(const XmlElement& element) {
  const std::string_view text = trimmed(element.text);
  constexpr size_t kDateBytes = 10;  // a date alone is its midnight
  auto time = base::parse_rfc3339(text.size() == kDateBytes ? std::string(text) + "T00:00:00Z" : std::string(text));
  if (!time) return refuse(ErrorCode::kInvalidArgument, "'Date' must be in ISO 8601 format");
  if (time->time_since_epoch() % std::chrono::hours(24) != Duration::zero())
    return refuse(ErrorCode::kInvalidArgument, "'Date' must be at midnight GMT");
  return *time;
}

// --- filters

Answer<void> add_tag(LifecycleRule& rule, const XmlElement& element) {
  if (!element.child("Key") || !element.child("Value")) return refuse(ErrorCode::kMalformedXml);
  rule.tags.emplace_back(element.text_of("Key"), element.text_of("Value"));
  return {};
}

// The filter's conditions, directly inside or in <And>. All of them must hold wherever they stand.
Answer<void> parse_conditions(LifecycleRule& rule, const XmlElement& filter, bool inside_and) {
  bool prefix_seen = false;
  for (const XmlElement& element : filter.children) {
    if (element.name == "Prefix") {
      if (prefix_seen) return refuse(ErrorCode::kMalformedXml);
      prefix_seen = true;
      // One beside <And> and one inside: the longer one says both, if they agree.
      if (!element.text.starts_with(rule.prefix) && !rule.prefix.starts_with(element.text))
        return refuse(ErrorCode::kMalformedXml);
      if (element.text.size() > rule.prefix.size()) rule.prefix = element.text;
    } else if (element.name == "Tag") {
      ASK(add_tag(rule, element));
    } else if (element.name == "ObjectSizeGreaterThan") {
      rule.size_above_bytes =
          ASK(parse_count(element, 0, INT64_MAX, "'ObjectSizeGreaterThan' must be a nonnegative integer"));
    } else if (element.name == "ObjectSizeLessThan") {
      rule.size_below_bytes =
          ASK(parse_count(element, 1, INT64_MAX, "'ObjectSizeLessThan' must be a positive integer"));
    } else if (element.name == "And" && !inside_and) {
      rule.filter_and = true;
      ASK(parse_conditions(rule, element, true));
    } else {
      return refuse(ErrorCode::kMalformedXml);
    }
  }
  return {};
}

Answer<void> check_filter(const LifecycleRule& rule) {
  if (rule.prefix.size() > kKeyBytesMax)
    return refuse(ErrorCode::kInvalidRequest, "The maximum size of a prefix is 1024.");
  ASK(check_tags(rule.tags));
  if (rule.size_above_bytes && rule.size_below_bytes && *rule.size_below_bytes <= *rule.size_above_bytes)
    return refuse(ErrorCode::kInvalidRequest,
                  "Filter element 'ObjectSizeLessThan' should be larger than 'ObjectSizeGreaterThan'.");
  return {};
}

// --- actions

Answer<void> parse_expiration(LifecycleRule& rule, const XmlElement& element) {
  if (element.children.size() != 1) return refuse(ErrorCode::kMalformedXml);
  const XmlElement& one = element.children.front();
  if (one.name == "Days") {
    rule.expiration_days = ASK(parse_days(one, 1, "Expiration"));
  } else if (one.name == "Date") {
    rule.expiration_date = ASK(parse_date(one));
  } else if (one.name == "ExpiredObjectDeleteMarker") {
    const std::string_view text = trimmed(one.text);
    if (text != "true" && text != "false") return refuse(ErrorCode::kMalformedXml);
    rule.expire_delete_marker = text == "true";
  } else {
    return refuse(ErrorCode::kMalformedXml);
  }
  return {};
}

Answer<std::string> parse_class(const XmlElement& element) {
  const std::string_view text = trimmed(element.text);
  // Back to STANDARD is more than Amazon offers; among local classes it is as good as any other way.
  if (text.empty() || !storage_class_named(text)) return refuse(ErrorCode::kMalformedXml);
  return std::string(text);
}

Answer<Transition> parse_transition(const XmlElement& element, bool noncurrent) {
  Transition out;
  for (const XmlElement& one : element.children) {
    if (one.name == "StorageClass") {
      out.storage_class = ASK(parse_class(one));
    } else if (one.name == "Days" && !noncurrent) {
      out.days = ASK(parse_days(one, 0, "Transition"));
    } else if (one.name == "Date" && !noncurrent) {
      out.date = ASK(parse_date(one));
    } else if (one.name == "NoncurrentDays" && noncurrent) {
      out.days = ASK(parse_days(one, 0, "NoncurrentVersionTransition"));
    } else if (one.name == "NewerNoncurrentVersions" && noncurrent) {
      out.newer_versions = static_cast<uint32_t>(ASK(
          parse_count(one, 1, kNewerNoncurrentVersionsMax,
                      "'NewerNoncurrentVersions' for NoncurrentVersionTransition action must be between 1 and 100")));
    } else {
      return refuse(ErrorCode::kMalformedXml);
    }
  }
  if (out.storage_class.empty() || out.days.has_value() == out.date.has_value())
    return refuse(ErrorCode::kMalformedXml);
  return out;
}

Answer<void> parse_noncurrent_expiration(LifecycleRule& rule, const XmlElement& element) {
  for (const XmlElement& one : element.children) {
    if (one.name == "NoncurrentDays") {
      rule.noncurrent_days = ASK(parse_days(one, 1, "NoncurrentVersionExpiration"));
    } else if (one.name == "NewerNoncurrentVersions") {
      rule.newer_noncurrent_versions = static_cast<uint32_t>(ASK(
          parse_count(one, 1, kNewerNoncurrentVersionsMax,
                      "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be between 1 and 100")));
    } else {
      return refuse(ErrorCode::kMalformedXml);
    }
  }
  if (!rule.noncurrent_days) return refuse(ErrorCode::kMalformedXml);
  return {};
}

Answer<void> parse_abort(LifecycleRule& rule, const XmlElement& element) {
  if (element.children.size() != 1 || element.children.front().name != "DaysAfterInitiation")
    return refuse(ErrorCode::kMalformedXml);
  rule.abort_upload_days = ASK(parse_days(element.children.front(), 1, "AbortIncompleteMultipartUpload"));
  return {};
}

// --- what a rule as a whole must be

Answer<void> check_transitions(const std::vector<Transition>& transitions, std::string_view action) {
  std::set<std::string_view> classes;
  bool days = false, date = false;
  for (const Transition& one : transitions) {
    if (!classes.insert(one.storage_class).second)
      return refuse(ErrorCode::kInvalidRequest,
                    "'StorageClass' must be different for '" + std::string(action) + "' actions in same 'Rule'");
    days = days || one.days;
    date = date || one.date;
  }
  if (days && date)
    return refuse(ErrorCode::kInvalidRequest,
                  "Found mixed 'Date' and 'Days' based " + std::string(action) + " actions in one lifecycle rule");
  return {};
}

Answer<void> check_order(const LifecycleRule& rule) {
  const std::string of_filter = " action for filter '(prefix=" + rule.prefix + ")' must be greater than ";
  for (const Transition& one : rule.transitions) {
    if ((one.days && rule.expiration_date) || (one.date && rule.expiration_days))
      return refuse(ErrorCode::kInvalidRequest,
                    "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
                    "filter '(prefix=" +
                        rule.prefix + ")'");
    if (one.days && rule.expiration_days && *rule.expiration_days <= *one.days)
      return refuse(ErrorCode::kInvalidArgument,
                    "'Days' in the Expiration" + of_filter + "'Days' in the Transition action");
    if (one.date && rule.expiration_date && *rule.expiration_date <= *one.date)
      return refuse(ErrorCode::kInvalidArgument,
                    "'Date' in the Expiration" + of_filter + "'Date' in the Transition action");
  }
  for (const Transition& one : rule.noncurrent_transitions)
    if (one.days && rule.noncurrent_days && *rule.noncurrent_days <= *one.days)
      return refuse(ErrorCode::kInvalidArgument, "'NoncurrentDays' in the NoncurrentVersionExpiration" + of_filter +
                                                     "'NoncurrentDays' in the NoncurrentVersionTransition action");
  return {};
}

Answer<void> check_rule(const LifecycleRule& rule, bool any_action) {
  ASK(check_filter(rule));
  if (!any_action) return refuse(ErrorCode::kInvalidRequest, "At least one action needs to be specified in a rule");
  const bool by_more_than_prefix = !rule.tags.empty() || rule.size_above_bytes || rule.size_below_bytes;
  if (by_more_than_prefix && rule.expire_delete_marker)
    return refuse(ErrorCode::kInvalidRequest,
                  "ExpiredObjectDeleteMarker cannot be specified with a filter by tags or sizes.");
  if (by_more_than_prefix && rule.abort_upload_days)
    return refuse(ErrorCode::kInvalidRequest,
                  "AbortIncompleteMultipartUpload cannot be specified with a filter by tags or sizes.");
  ASK(check_transitions(rule.transitions, "Transition"));
  ASK(check_transitions(rule.noncurrent_transitions, "NoncurrentVersionTransition"));
  return check_order(rule);
}

Answer<LifecycleRule> parse_rule(const XmlElement& element) {
  LifecycleRule rule;
  std::set<std::string_view> seen;
  bool any_action = false;
  rule.filter_given = false;
  for (const XmlElement& one : element.children) {
    const bool again = !seen.insert(one.name).second;
    if (again && one.name != "Transition" && one.name != "NoncurrentVersionTransition")
      return refuse(ErrorCode::kMalformedXml);
    if (one.name == "ID") {
      rule.id = one.text;
    } else if (one.name == "Status") {
      const std::string_view status = trimmed(one.text);
      if (status != "Enabled" && status != "Disabled") return refuse(ErrorCode::kMalformedXml);
      rule.enabled = status == "Enabled";
    } else if (one.name == "Prefix") {
      rule.prefix = one.text;
    } else if (one.name == "Filter") {
      if (seen.contains("Prefix")) return refuse(ErrorCode::kMalformedXml);
      rule.filter_given = true;
      ASK(parse_conditions(rule, one, false));
    } else {
      any_action = true;
      if (one.name == "Expiration")
        ASK(parse_expiration(rule, one));
      else if (one.name == "NoncurrentVersionExpiration")
        ASK(parse_noncurrent_expiration(rule, one));
      else if (one.name == "AbortIncompleteMultipartUpload")
        ASK(parse_abort(rule, one));
      else if (one.name == "Transition")
        rule.transitions.push_back(ASK(parse_transition(one, false)));
      else if (one.name == "NoncurrentVersionTransition")
        rule.noncurrent_transitions.push_back(ASK(parse_transition(one, true)));
      else
        return refuse(ErrorCode::kMalformedXml);
    }
  }
  if (!seen.contains("Status") || seen.contains("Prefix") == seen.contains("Filter"))
    return refuse(ErrorCode::kMalformedXml);
  if (rule.id.size() > kLifecycleIdBytesMax)
    return refuse(ErrorCode::kInvalidArgument, "ID length should not exceed allowed limit of 255");
  ASK(check_rule(rule, any_action));
  return rule;
}

// --- writing

void write_filter(XmlWriter& xml, const LifecycleRule& rule) {
  if (!rule.filter_given) {
    xml.element("Prefix", rule.prefix);
    return;
  }
  xml.open("Filter");
  if (rule.filter_and) xml.open("And");
  const bool nothing_else = rule.tags.empty() && !rule.size_above_bytes && !rule.size_below_bytes;
  if (!rule.prefix.empty() || nothing_else) xml.element("Prefix", rule.prefix);
  for (const auto& [key, value] : rule.tags) xml.open("Tag").element("Key", key).element("Value", value).close();
  if (rule.size_above_bytes) xml.element("ObjectSizeGreaterThan", *rule.size_above_bytes);
  if (rule.size_below_bytes) xml.element("ObjectSizeLessThan", *rule.size_below_bytes);
  if (rule.filter_and) xml.close();
  xml.close();
}

void write_transition(XmlWriter& xml, const Transition& one, bool noncurrent) {
  xml.open(noncurrent ? "NoncurrentVersionTransition" : "Transition");
  if (one.days) xml.element(noncurrent ? "NoncurrentDays" : "Days", *one.days);
  if (one.date) xml.element("Date", base::format_rfc3339(*one.date));
  if (one.newer_versions) xml.element("NewerNoncurrentVersions", *one.newer_versions);
  xml.element("StorageClass", one.storage_class).close();
}

void write_rule(XmlWriter& xml, const LifecycleRule& rule) {
  xml.open("Rule").element("ID", rule.id);
  write_filter(xml, rule);
  xml.element("Status", rule.enabled ? "Enabled" : "Disabled");
  for (const Transition& one : rule.transitions) write_transition(xml, one, false);
  if (rule.expiration_days) xml.open("Expiration").element("Days", *rule.expiration_days).close();
  if (rule.expiration_date) xml.open("Expiration").element("Date", base::format_rfc3339(*rule.expiration_date)).close();
  if (rule.expire_delete_marker) xml.open("Expiration").element("ExpiredObjectDeleteMarker", true).close();
  for (const Transition& one : rule.noncurrent_transitions) write_transition(xml, one, true);
  if (rule.noncurrent_days) {
    xml.open("NoncurrentVersionExpiration").element("NoncurrentDays", *rule.noncurrent_days);
    if (rule.newer_noncurrent_versions) xml.element("NewerNoncurrentVersions", *rule.newer_noncurrent_versions);
    xml.close();
  }
  if (rule.abort_upload_days)
    xml.open("AbortIncompleteMultipartUpload").element("DaysAfterInitiation", *rule.abort_upload_days).close();
  xml.close();
}

}  // namespace

Answer<std::vector<LifecycleRule>> parse_lifecycle(const XmlElement& document, uint64_t id_seed) {
  // <LifecycleConfiguration> since 2013; older clients still say the same with the older name of the operation.
  if (document.name != "LifecycleConfiguration") return refuse(ErrorCode::kMalformedXml);
  std::vector<LifecycleRule> rules;
  for (const XmlElement& element : document.children) {
    if (element.name != "Rule") return refuse(ErrorCode::kMalformedXml);
    if (rules.size() == kLifecycleRulesMax)
      return refuse(ErrorCode::kMalformedXml, "A lifecycle configuration has at most 1000 rules");
    rules.push_back(ASK(parse_rule(element)));
  }
  if (rules.empty()) return refuse(ErrorCode::kMalformedXml);
  std::set<std::string> ids;
  for (const LifecycleRule& rule : rules)
    if (!rule.id.empty() && !ids.insert(rule.id).second)
      return refuse(ErrorCode::kInvalidArgument, "Rule ID must be unique. Found same ID for more than one rule");
  for (LifecycleRule& rule : rules) {
    if (!rule.id.empty()) continue;
    std::string raw(8, '\0');
    do {
      for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<char>(id_seed >> (8 * i));
      rule.id = base::hex_encode(base::as_bytes(raw));
      ++id_seed;
    } while (!ids.insert(rule.id).second);
  }
  return rules;
}

std::string lifecycle_document(const std::vector<LifecycleRule>& rules) {
  XmlWriter xml("LifecycleConfiguration");
  for (const LifecycleRule& rule : rules) write_rule(xml, rule);
  return xml.finish();
}

}  // namespace polis::object
