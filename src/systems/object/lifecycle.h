// Lifecycle rules: what they ask for, and when. Pure: versions and a moment go in, actions and the next moment to look
// come out; the engine's reminders (engine.h) and the worker (lifecycle_worker.h) do the rest.
//
// Where several rules speak of one version, expiration goes before transition, and what comes first goes before what
// comes later; of transitions that are due, the latest one says where the bytes belong.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "systems/object/types.h"
#include "systems/object/xml.h"

namespace polis::object {

inline constexpr size_t kLifecycleRulesMax = 1000;
inline constexpr size_t kLifecycleIdBytesMax = 255;
inline constexpr uint32_t kNewerNoncurrentVersionsMax = 100;

// How long a rule's day is. A real one ends at midnight UTC: an action is due at the first midnight after its days are
// over, as Amazon S3 counts. A shorter one, for tests, ends to the second.
struct LifecycleCalendar {
  Duration day = std::chrono::hours(24);
  // The end of time for what WallTime cannot hold.
  WallTime after(WallTime from, uint32_t days) const;
};

struct LifecycleAction {
  enum class Kind : unsigned char {
    kExpire,      // the current version: as a DELETE without a version id
    kRemove,      // this very version or delete marker, for good
    kTransition,  // its bytes belong to another storage class
    kAbort,       // an upload in progress
  };
  Kind kind = Kind::kExpire;
  VersionId version{};          // not of kAbort
  std::string storage_class{};  // of kTransition, as Metadata keeps it
  UploadId upload{};            // of kAbort
};

// What the rules of a bucket say of one key at one moment. Fed with the key's versions from the newest to the oldest,
// then with its uploads. The bucket and the key outlive it.
class LifecycleReading {
 public:
  LifecycleReading(const Bucket& bucket, std::string_view key, WallTime now, LifecycleCalendar calendar);

  // `only`: no other version of the key exists.
  void version(const ObjectVersion& version, bool only);
  void upload(const Upload& upload);

  // What is due, in the order in which it was seen.
  const std::vector<LifecycleAction>& due() const { return due_; }
  // When something else becomes due, or must be looked at again; nothing if no rule waits for this key.
  std::optional<WallTime> next() const { return next_; }

 private:
  void current(const ObjectVersion& version, bool only);
  void noncurrent(const ObjectVersion& version);
  // Remembers the earlier one of the future.
  void later(WallTime at);

  std::vector<const LifecycleRule*> rules_;  // enabled, and their prefix fits
  const WallTime now_;
  const LifecycleCalendar calendar_;
  std::vector<LifecycleAction> due_;
  std::optional<WallTime> next_;
  bool first_ = true;
  WallTime successor_at_{};   // when the version before the next one to come was made
  uint32_t newer_count_ = 0;  // noncurrent versions, without delete markers, that are newer than the next one to come
};

// Whether some enabled rule speaks of keys like this one.
bool has_lifecycle_rule_for(const Bucket& bucket, std::string_view key);
// When a new version of `key`, in front of `previous`, first needs looking at; nothing if no rule waits for it.
std::optional<WallTime> lifecycle_reminder(const Bucket& bucket, std::string_view key, const ObjectVersion& version,
                                           const ObjectVersion* previous, WallTime now, LifecycleCalendar calendar);
// The prefixes of the enabled rules, in order, none of which begins with another one.
std::vector<std::string> lifecycle_prefixes(const Bucket& bucket);

// x-amz-expiration of a current version: when it expires, by the calendar's real days, and by which rule. Empty if no
// rule does.
std::string expiration_header(const Bucket& bucket, std::string_view key, const ObjectVersion& version);
// x-amz-abort-date and x-amz-abort-rule-id of an upload.
struct AbortHeaders {
  std::string date, rule_id;
};
std::optional<AbortHeaders> abort_headers(const Bucket& bucket, const Upload& upload);

// --- the document (lifecycle_xml.cc)

// <LifecycleConfiguration>, with everything that S3 refuses about it. Rules without an id get one made of `id_seed` and
// their place.
Answer<std::vector<LifecycleRule>> parse_lifecycle(const XmlElement& document, uint64_t id_seed);
std::string lifecycle_document(const std::vector<LifecycleRule>& rules);

}  // namespace polis::object
