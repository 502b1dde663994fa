#include "kernel/io/frame.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace polis::io {

#if defined(POLIS_DEBUG) || defined(POLIS_TSAN)

void* frame_allocate(std::size_t size_bytes) {
  return ::operator new(size_bytes);
}
void frame_release(void* frame, std::size_t size_bytes) noexcept {
  ::operator delete(frame, size_bytes);
}

#else

namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 32;        // frames up to 2 KiB; larger ones are rare and long-lived
constexpr std::size_t kKeptPerClass = 256;  // bounds what an idle thread keeps to 8.3 MiB in the worst case

struct FreeFrame {
  FreeFrame* next;
};

struct FreeLists {
  FreeFrame* first[kClasses] = {};
  std::size_t count[kClasses] = {};
  ~FreeLists() {
    for (auto& list : first)
      while (list) ::operator delete(std::exchange(list, list->next));
  }
};

thread_local FreeLists lists;

constexpr std::size_t class_of(std::size_t size_bytes) {
  return (size_bytes - 1) / kClassBytes;
}

}  // namespace

void* frame_allocate(std::size_t size_bytes) {
  const std::size_t index = class_of(size_bytes);
  if (index >= kClasses) return ::operator new(size_bytes);
  if (FreeFrame* frame = lists.first[index]) {
    lists.first[index] = frame->next;
    --lists.count[index];
    return frame;
  }
  return ::operator new((index + 1) * kClassBytes);
}

void frame_release(void* frame, std::size_t size_bytes) noexcept {
  const std::size_t index = class_of(size_bytes);
  if (index >= kClasses || lists.count[index] >= kKeptPerClass) {
    ::operator delete(frame);
    return;
  }
  auto* free_frame = static_cast<FreeFrame*>(frame);
  free_frame->next = lists.first[index];
  lists.first[index] = free_frame;
  ++lists.count[index];
}

#endif

}  // namespace polis::io
