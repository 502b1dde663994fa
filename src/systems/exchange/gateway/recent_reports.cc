#include "systems/exchange/gateway/recent_reports.h"

#include <algorithm>

namespace polis::exchange::gateway {

namespace {

// By 16 bytes, a line at a time: see put() in fix/session.cc for why not by the C library.
void copy(const Report& from, Report& to) {
  static_assert(sizeof(Report) % 64 == 0);
  for (size_t at = 0; at < sizeof(Report); at += 64)
    __builtin_memcpy_inline(reinterpret_cast<char*>(&to) + at, reinterpret_cast<const char*>(&from) + at, 64);
}

}  // namespace

void RecentReports::make_room() {
  const Sequence committed = archive_ ? archive_->committed() : UINT64_MAX;
  while (size() > kKept && at(oldest_).stored.sequence < committed) ++oldest_;
  if (size() < ring_.size()) return;
  if (ring_.size() >= kMost) {
    ++oldest_;
    return;
  }
  std::vector<Entry> larger(ring_.size() * 2);
  for (uint64_t position = oldest_; position < next_; ++position) larger[position & (larger.size() - 1)] = at(position);
  ring_ = std::move(larger);
}

void RecentReports::add(Sequence sequence, VenueTime time, const Report& report) {
  if (size() == ring_.size()) make_room();
  if (report.session >= places_.size()) places_.resize(report.session + 1);
  Place& place = places_[report.session];
  Entry& entry = ring_[next_ & (ring_.size() - 1)];
  entry.stored.sequence = sequence;
  entry.stored.time = time;
  copy(report, entry.stored.report);
  entry.previous = place.newest;
  entry.count = ++place.count;
  place.newest = ++next_;
  // The ring does not fit into a core's caches, and stores that miss them hold up all that stand behind: the entry
  // after the next, which may begin inside of a line, is brought near while there is other work.
  const char* const soon = reinterpret_cast<const char*>(&ring_[(next_ + 1) & (ring_.size() - 1)]);
  for (size_t line = 0; line < sizeof(Entry); line += 64) __builtin_prefetch(soon + line, 1);
  __builtin_prefetch(soon + sizeof(Entry) - 1, 1);
}

void RecentReports::anchor(SessionId session, uint64_t reports) {
  if (session >= places_.size()) places_.resize(session + 1);
  places_[session].before = reports - places_[session].count;
}

uint64_t RecentReports::newest(SessionId session) const {
  return session < places_.size() ? places_[session].before + places_[session].count : 0;
}

bool RecentReports::find(SessionId session, uint64_t first, uint64_t last, std::vector<StoredReport>& into) const {
  if (first == 0 || first > last || last > newest(session)) return false;
  const Place& place = places_[session];
  if (first <= place.before) return false;
  const size_t begin = into.size();
  for (uint64_t link = place.newest; link > oldest_;) {
    const Entry& entry = at(link - 1);
    const uint64_t ordinal = place.before + entry.count;
    if (ordinal < first) break;
    if (ordinal <= last) into.push_back(entry.stored);
    link = entry.previous;
  }
  if (into.size() - begin != last - first + 1) {
    into.resize(begin);
    return false;
  }
  std::reverse(into.begin() + static_cast<std::ptrdiff_t>(begin), into.end());
  return true;
}

}  // namespace polis::exchange::gateway
