// Object lock: what forbids that a version is removed or its protection weakened, and the documents that say so. Pure.
//
// A version is locked while its legal hold is on or its retention lasts. A legal hold yields to nothing but its own
// end, COMPLIANCE to nobody, GOVERNANCE to a caller who may bypass it and says so with the request. The engine asks
// check_unlocked() in the one place where rows of versions are erased, so no way around it exists.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "systems/object/types.h"
#include "systems/object/xml.h"

namespace polis::object {

// S3's limits on a default retention.
inline constexpr uint32_t kRetentionDaysMax = 36'500;
inline constexpr uint32_t kRetentionYearsMax = 100;

// kAccessDenied while the version may not be removed.
Answer<void> check_unlocked(const ObjectVersion& version, bool bypass_governance, WallTime now);

// Whether one retention may take the place of another: kAccessDenied where it would weaken what still lasts or change
// its mode, unless that was GOVERNANCE and is bypassed. An empty `after` takes the retention away.
Answer<void> check_retention_change(const Retention& before, const Retention& after, bool bypass_governance,
                                    WallTime now);

// What a bucket gives a version that is made now. Years are calendar years: the 29th of February ends on the 28th.
Retention retention_from(const DefaultRetention& rule, WallTime now);

// "GOVERNANCE", "COMPLIANCE"; nothing for any other text, and "" for kNone.
std::optional<RetentionMode> retention_mode_named(std::string_view text);
std::string_view name(RetentionMode mode);

// What x-amz-object-lock-{mode,retain-until-date,legal-hold} ask for a new version; empty texts: not given.
struct LockRequest {
  Retention retention;
  std::optional<bool> legal_hold;
  bool any() const { return retention || legal_hold; }
};
Answer<LockRequest> parse_lock_request(std::string_view mode, std::string_view until, std::string_view legal_hold,
                                       WallTime now);

// <ObjectLockConfiguration>: the default retention, if it has one. kMalformedXml, kInvalidRetentionPeriod.
Answer<std::optional<DefaultRetention>> parse_lock_configuration(const XmlElement& document);
std::string lock_configuration_document(const std::optional<DefaultRetention>& rule);

// <Retention>; an empty element is an empty retention. kMalformedXml, and kInvalidArgument for a time that is past.
Answer<Retention> parse_retention(const XmlElement& document, WallTime now);
// <LegalHold>: whether it is on.
Answer<bool> parse_legal_hold(const XmlElement& document);

}  // namespace polis::object
