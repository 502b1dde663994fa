// What goes: segments that are trimmed, frames that a rewrite leaves out.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/log/segment_log.h"

namespace polis::log {

Task<Result<void>> FrameLog::trim(Position before) {
  CO_TRY(co_await trimming_.acquire());
  Result<void> result;
  bool removed = false;
  while (result && segments_.size() > 1 && segments_[1]->header.first <= before) {
    const std::shared_ptr<Segment> segment = segments_.front();
    segment->leaving = true;
    result = co_await remove_index(*segment);
    if (result) result = co_await disk_.remove(segment->path);
    if (!result) {
      segment->leaving = false;
      break;
    }
    segments_.pop_front();
    removed = true;
  }
  if (result && removed) result = co_await disk_.sync_directory(options_.directory);
  trimming_.release();
  co_return result;
}

Task<Result<uint64_t>> FrameLog::rewrite(Position segment_first, Keep keep) {
  POLIS_ASSERT(!format_.contiguous);
  // Not while a trim takes segments away.
  CO_TRY(co_await trimming_.acquire());
  auto result = co_await rewrite_segment(segment_first, std::move(keep));
  trimming_.release();
  co_return result;
}

Task<Result<uint64_t>> FrameLog::rewrite_segment(Position segment_first, Keep keep) {
  auto found = std::find_if(segments_.begin(), segments_.end(),
                            [&](const auto& segment) { return segment->header.first == segment_first; });
  if (found == segments_.end() || *found == segments_.back())
    co_return fail(Code::kOutOfRange,
                   fmt::format("{}: no closed segment begins at {}", options_.directory, segment_first));
  const std::shared_ptr<Segment> old = *found;
  auto source = CO_TRY(co_await file_of(old));
  auto made = std::make_shared<Segment>();
  made->header = old->header;
  made->path = old->path;
  const std::string unfinished = old->path + std::string(kUnfinished);
  if (auto removed = co_await disk_.remove(unfinished); !removed && removed.error().code() != Code::kNotFound)
    co_return fail(removed.error());
  std::shared_ptr<io::File> target = CO_TRY(co_await disk_.open(unfinished, io::OpenMode::kCreateNew));

  Bytes buffer(kSegmentHeaderBytes);  // the header is written last, when the size is known
  made->size_bytes = 0;
  const auto flush = [&]() -> Task<Result<void>> {
    CO_TRY(co_await target->write_at(made->size_bytes, BytesView(buffer)));
    made->size_bytes += buffer.size();
    buffer.clear();
    co_return {};
  };
  FileWindow window(kCopyBytes);
  Position expected = old->header.first;
  for (uint64_t offset = kSegmentHeaderBytes; offset < old->size_bytes;) {
    const auto frame =
        CO_TRY(co_await frame_at(*source, window, format_, old->header, offset, expected, old->size_bytes));
    if (!frame) co_return fail(damage(*old, expected, offset));
    offset += frame->bytes.size();
    expected = frame->next;
    if (const auto kept = CO_TRY(keep(*frame))) {
      note_frame(*made, frame->first, made->size_bytes + buffer.size(), frame->mark);
      buffer.insert(buffer.end(), kept->begin(), kept->end());
    }
    if (buffer.size() >= kCopyBytes) CO_TRY(co_await flush());
  }
  CO_TRY(co_await flush());
  made->header.rewritten_size_bytes = made->size_bytes;
  buffer.resize(kSegmentHeaderBytes);
  made->header.encode(buffer.data());
  CO_TRY(co_await target->write_at(0, BytesView(buffer)));
  CO_TRY(co_await scheduler_.sync(target));
  old->leaving = true;
  if (auto removed = co_await remove_index(*old); !removed) {
    old->leaving = false;
    co_return fail(removed.error());
  }
  old->replaced = source;  // before the path names another file
  CO_TRY(co_await disk_.rename(unfinished, old->path));
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  made->made = true;
  made->slot.set(std::move(target), options_.files);
  made->planned_bytes = made->size_bytes;
  made->stored.next = made->header.first;
  made->checked.add(kSegmentHeaderBytes, made->size_bytes);
  made->used_at = ++uses_;
  // Only trims take segments away, and they wait; appends add at the end.
  found = std::find(segments_.begin(), segments_.end(), old);
  *found = made;
  co_return old->size_bytes - made->size_bytes;
}

}  // namespace polis::log
