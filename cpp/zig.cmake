# For PyPI's package ziglang, which brings a compiler, a C++ library, and the C libraries of many systems (wheels/build.py):
# cmake -DCMAKE_TOOLCHAIN_FILE=cpp/zig.cmake -DBITVIT_ZIG=.../ziglang/zig -DBITVIT_ZIG_TARGET=aarch64-linux-gnu.2.17 ...
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BITVIT_ZIG BITVIT_ZIG_TARGET)
if(BITVIT_ZIG_TARGET MATCHES "^([a-z0-9_]+)-linux-")
  set(CMAKE_SYSTEM_NAME Linux)
elseif(BITVIT_ZIG_TARGET MATCHES "^([a-z0-9_]+)-windows-gnu$")
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_RC_COMPILER ${BITVIT_ZIG})  # CMake asks for one; nothing here is a resource
else()
  message(FATAL_ERROR "BITVIT_ZIG_TARGET is ${BITVIT_ZIG_TARGET}, expected such as aarch64-linux-gnu.2.17 or x86_64-windows-gnu")
endif()
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
set(CMAKE_CXX_COMPILER ${BITVIT_ZIG} c++ -target ${BITVIT_ZIG_TARGET})
# A subcommand of zig as well, which the variable CMAKE_AR cannot say.
set(CMAKE_CXX_ARCHIVE_CREATE "${BITVIT_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "${BITVIT_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "${BITVIT_ZIG} ranlib <TARGET>")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(BITVIT_OPTIONS_OF_neon_dotprod -mcpu=generic+dotprod)  # zig does not know the names of Arm's architectures
