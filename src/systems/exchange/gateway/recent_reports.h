// RecentReports: the newest reports of all sessions in memory, so that messages which are asked for again seldom cost a
// read of the database. Each is known by its session and its ordinal there, as in the SessionBook.
//
// A ring; the reports of one session are linked backwards through it. It keeps the last ten thousand, and beyond them
// whatever the archive has not committed yet. Home shard of the gateway; adding allocates nothing but when the ring
// grows.
#pragma once

#include <cstdint>
#include <vector>

#include "systems/exchange/reporting/report_archive.h"

namespace polis::exchange::gateway {

class RecentReports {
 public:
  static constexpr size_t kKept = 10'000;
  // 57 MB: of an archive that has fallen so far behind, older messages can no longer be made again until it has caught
  // up.
  static constexpr size_t kMost = 1 << 18;

  explicit RecentReports(const ReportArchive* archive) : archive_(archive) {}

  // In the order of the bus; of what has no message nothing is kept. Also what was recovered before the gateway opened.
  void add(Sequence sequence, VenueTime time, const Report& report);
  // The session has had so many reports in its whole life, up to the newest that was added.
  void anchor(SessionId session, uint64_t reports);
  // The ordinal of its newest.
  uint64_t newest(SessionId session) const;

  // Reports with ordinals [first, last] if they are all here: appended in order. False: ask the archive.
  bool find(SessionId session, uint64_t first, uint64_t last, std::vector<StoredReport>& into) const;

  // The sequence of the oldest one here; 0: none is.
  Sequence oldest() const { return size() == 0 ? 0 : at(oldest_).stored.sequence; }
  size_t size() const { return static_cast<size_t>(next_ - oldest_); }

 private:
  struct Entry {
    StoredReport stored;
    uint64_t previous = 0;  // position of the session's report before it, plus one
    uint64_t count = 0;     // how many of the session were added up to here
  };
  struct Place {
    uint64_t newest = 0;  // position, plus one
    uint64_t count = 0;
    uint64_t before = 0;  // ordinal of the report before the first that was added
  };
  const Entry& at(uint64_t position) const { return ring_[position & (ring_.size() - 1)]; }
  void make_room();

  const ReportArchive* archive_;
  std::vector<Entry> ring_ = std::vector<Entry>(1 << 14);
  uint64_t oldest_ = 0, next_ = 0;  // positions
  std::vector<Place> places_;       // by session
};

}  // namespace polis::exchange::gateway
