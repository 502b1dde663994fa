// The cells of CSV (RFC 4180), for the export and the import: quoting, and what spreadsheets make of a cell.
#pragma once

#include <string>
#include <string_view>

#include "systems/ledger/engine.h"

namespace polis::ledger::formats {

// A cell that begins with one of these would be computed by a spreadsheet, so an apostrophe goes before it; a cell that
// begins with an apostrophe gets one more, so that an import can drop one and has what was there.
inline constexpr std::string_view kFormulaStarts = "=+-@\t\r'";

// Between quotes where the text needs them.
void append_csv_text(std::string_view text, std::string& out);

// "" for kNone, "pending", "posted", "voided", "expired".
std::string_view state_name(PendingState state);

}  // namespace polis::ledger::formats
