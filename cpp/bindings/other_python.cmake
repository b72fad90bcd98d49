# Bindings for a Python that does not run here (wheels/build.py), of which there are headers only, in the folder
# BITVIT_PYTHON_HEADERS, and for Windows an import library, BITVIT_PYTHON_LIBRARY. BITVIT_PYTHON_ABI is such as cp311,
# cp312-abi3 or cp314t.
if(NOT BITVIT_PYTHON_ABI MATCHES "^cp3([0-9]+)(t?)(-abi3)?$")
  message(FATAL_ERROR "BITVIT_PYTHON_ABI is ${BITVIT_PYTHON_ABI}, expected such as cp311, cp312-abi3 or cp314t")
endif()
# What nanobind wants to know of a Python that was found.
set(Python_VERSION 3.${CMAKE_MATCH_1})
set(Python_SOABI cpython-3${CMAKE_MATCH_1}${CMAKE_MATCH_2}-other)
if(NOT WIN32)
  set(Python_SOSABI abi3)
else()
  set(Python_SOSABI "")
endif()
set(Python_INTERPRETER_ID Python)
set(Python_INCLUDE_DIRS ${BITVIT_PYTHON_HEADERS})
add_library(Python::Module INTERFACE IMPORTED)
target_link_libraries(Python::Module INTERFACE ${BITVIT_PYTHON_LIBRARY})
if(CMAKE_MATCH_3)
  add_library(Python::SABIModule INTERFACE IMPORTED)
  target_link_libraries(Python::SABIModule INTERFACE ${BITVIT_PYTHON_LIBRARY})
endif()
# For what is created below, nanobind and the bindings: nanobind needs <cstdio>, which neither Python's limited headers nor
# every library of C++ includes. Python.h comes first, because it says which C library is wanted.
add_compile_options("SHELL:-include Python.h" "SHELL:-include cstdio")
