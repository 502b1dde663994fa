// Who the other side of a TLS connection is, by the certificate that it proved to have.
#pragma once

#include <string>

#include "kernel/io/stream.h"

namespace polis::io {

// The common name of the subject of the peer's certificate, in UTF-8. Empty without TLS, without a certificate, with no
// or more than one common name, and for one that holds a zero byte: nobody is named by those.
std::string peer_common_name(const Stream& stream);

}  // namespace polis::io
