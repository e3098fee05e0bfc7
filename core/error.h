// The exceptions that Mica throws. Every text says where, what was given, what was expected and what to do.
// The library never prints, exits or aborts; programs catch Error and decide.
#pragma once

#include <mica/kernels/error.h>

namespace mica {

class ShapeError : public Error { using Error::Error; };   // sizes or ranks that do not fit together
class DTypeError : public Error { using Error::Error; };   // an element type that the operation does not take
class DeviceError : public Error { using Error::Error; };  // a device that is absent, or two different ones
class GraphError : public Error { using Error::Error; };   // misuse of autograd
class FileError : public Error { using Error::Error; };    // names the file, and the byte or the field

}  // namespace mica
