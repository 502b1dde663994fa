// Every encoding of base in one include: byte order, binary records, text forms, ordered keys.
#pragma once

#include "kernel/base/binary.h"
#include "kernel/base/endian.h"
#include "kernel/base/ordered_key.h"
#include "kernel/base/text_encoding.h"
