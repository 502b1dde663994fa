// What the handlers of administration have in common: Kafka's sentences for codes that come without one, and the audit
// trail of what was changed.
#pragma once

#include <string>
#include <string_view>

#include "systems/stream/server/call.h"

namespace polis::stream {

// "Topic authorization failed."; empty for codes that say it all.
std::string_view sentence(ErrorCode code);

template <class Answer>
void put_refusal(Answer& answer, const Refusal& refusal) {
  answer.error_code = static_cast<int16_t>(refusal.code);
  if (refusal.ok()) return;
  const std::string_view text = refusal.message.empty() ? sentence(refusal.code) : std::string_view(refusal.message);
  if (!text.empty()) answer.error_message = std::string(text);
}

// Records who changed what. The change stands, whether or not its record could be written.
Task<void> record_change(Call& call, std::string_view action, std::string_view resource, std::string_view detail = {});

// Text that a client chose, for messages and records: printable, at most 256 bytes.
std::string shown(std::string_view text);

}  // namespace polis::stream
