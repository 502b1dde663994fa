// The books as the console's API writes them. Numbers that a JSON reader may not hold exactly (ids, amounts,
// timestamps) are texts of decimal digits; hashes and records are hex. The types of console/src/systems/ledger/api.ts
// say the same, and tests/browser/ledger_api_test.mjs compares both.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "systems/ledger/ledger.h"

namespace boost::json {
class object;
}

namespace polis::ledger {

// {"id","ledger","code","flags","user_data_128","user_data_64","user_data_32","timestamp","debits_pending",
//  "debits_posted","credits_pending","credits_posted","name","known"}; "name" is "" where there is none; "known" is
//  false where the balances of that moment could not be summed up (past_account.h), and then they mean nothing.
boost::json::object account_json(const Account& account, std::string_view name, bool known = true);

// "", "pending", "posted", "voided", "expired": what has become of a pending transfer; "" for any other.
std::string_view pending_state_name(PendingState state);
// {"id","debit_account_id","credit_account_id","amount","pending_id","user_data_128","user_data_64","user_data_32",
//  "timeout","ledger","code","flags","timestamp","state"}
boost::json::object transfer_json(const Transfer& transfer, PendingState state);

// {"ledger","accounts","transfers","debits_pending","debits_posted","credits_pending","credits_posted","lab"}
boost::json::object totals_json(const Engine::Totals& totals);

// "register", "expire", "create_accounts", "create_transfers", or the number.
std::string operation_name(uint8_t operation);
// {"op","timestamp","operation","operation_number","count","previous","root","head"}
boost::json::object link_json(const BatchLink& link);
// {"link","index","record","status","path":[...],"transfer"}
boost::json::object proof_json(const InclusionProof& proof);
// {"op","timestamp","head","signed_at","text","signature","public_key_pem"}; the signature in base64
boost::json::object head_json(const SignedHead& head, const std::string& public_key_pem);

}  // namespace polis::ledger
