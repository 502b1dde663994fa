// Memory for coroutine frames: a per-thread free list by size class, because a frame lives for microseconds and the
// general allocator costs as much as the work inside. Under ASan and TSan every frame goes to the general allocator, so
// that use after free is seen.
#pragma once

#include <cstddef>

namespace polis::io {

void* frame_allocate(std::size_t size_bytes);
void frame_release(void* frame, std::size_t size_bytes) noexcept;

}  // namespace polis::io
