// Runs acceptance definitions (*.def) against an acceptor and tells which it passes: `polis exchange certify`. One line
// a step:
//
//     # remark                      I<message>   send             iCONNECT      open a connection
//     E<message>   expect           eDISCONNECT  expect its end   iDISCONNECT   close it
//
// "I2,", "E2,", "i2,", "e2," speak of connection 2. <TIME>, <TIME+n> and <TIME-n> are the time of the test in whole
// seconds; fields 9 and 10 are filled in where they are missing. A message agrees when its fields do, in their order;
// of 10, 42, 52, 60 and 122 only the form counts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/stream.h"
#include "kernel/io/task.h"
#include "systems/exchange/fix/message.h"

namespace polis::exchange::fix {

// The acceptor under test, as somebody outside sees it.
class CertifyTarget {
 public:
  virtual ~CertifyTarget() = default;
  virtual Task<Result<void>> connect(int connection) = 0;
  virtual Task<Result<void>> send(int connection, std::string_view bytes) = 0;
  // The next message; nothing: it closed. kTimeout after 10 s without either.
  virtual Task<Result<std::optional<std::string>>> receive(int connection) = 0;
  virtual void disconnect(int connection) = 0;
  virtual VenueTime now() const = 0;
};

// An acceptor in this process, with a clock that moves as fast as nothing happens: session ISLD for TW44, reset on
// Logon, reflecting.
std::unique_ptr<CertifyTarget> reflecting_acceptor();
// Over TCP.
std::unique_ptr<CertifyTarget> network_acceptor(const io::Endpoint& endpoint);

struct Definition {
  std::string name, text;
};
// The *.def of a directory, by name; kNotFound if there are none.
Result<std::vector<Definition>> read_definitions(const std::string& directory);

struct CertifyOutcome {
  std::string name;
  std::string failure;  // empty: passed; else the line and what came instead
  double seconds = 0;   // by the target's clock
};
// Leaves no connection open.
Task<CertifyOutcome> certify(const Definition& definition, CertifyTarget& target);

}  // namespace polis::exchange::fix
