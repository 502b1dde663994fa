#include "kernel/log/open_files.h"

namespace polis::log {

void OpenFiles::Slot::set(std::shared_ptr<io::File> file, OpenFiles* files) {
  reset();
  file_ = std::move(file);
  files_ = files;
  if (!files_) return;
  files_->add(*this);
  files_->shrink(*this);
}

void OpenFiles::Slot::touch() {
  if (!files_ || files_->newest_ == this) return;
  files_->remove(*this);
  files_->add(*this);
}

void OpenFiles::Slot::reset() {
  if (files_) files_->remove(*this);
  files_ = nullptr;
  file_.reset();
}

void OpenFiles::add(Slot& slot) {
  slot.older_ = newest_;
  slot.newer_ = nullptr;
  (newest_ ? newest_->newer_ : oldest_) = &slot;
  newest_ = &slot;
  ++open_;
}

void OpenFiles::remove(Slot& slot) {
  (slot.newer_ ? slot.newer_->older_ : newest_) = slot.older_;
  (slot.older_ ? slot.older_->newer_ : oldest_) = slot.newer_;
  slot.newer_ = slot.older_ = nullptr;
  --open_;
}

// Files that are at work are passed over: they may exceed the limit for as long.
void OpenFiles::shrink(const Slot& newcomer) {
  constexpr size_t kLooks = 64;
  Slot* slot = oldest_;
  for (size_t looks = 0; open_ > files_max_ && slot && looks < kLooks; ++looks) {
    Slot* const next = slot->newer_;
    if (slot == &newcomer) break;
    if (slot->pinned_ || slot->file_.use_count() > 1) {
      slot->touch();
    } else {
      slot->reset();
    }
    slot = next;
  }
}

}  // namespace polis::log
