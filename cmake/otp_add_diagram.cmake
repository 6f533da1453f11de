# Writes the diagram of a state machine when a project is built, for its documentation:
#
#   otp_add_diagram(NAME HEADER <file> MACHINE <type> OUTPUT <file> [LINK <targets>...])
#
# Target NAME, part of `all`, writes otp::diagram<type>() of the machine in the header: Mermaid text, or a Markdown page
# with it if the output ends in .md. LINK: what the header needs besides otp::otp. The diagram is that of the types, so
# it is written again whenever they change.
function(otp_add_diagram name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;MACHINE;OUTPUT" "LINK")
  foreach(needed HEADER MACHINE OUTPUT)
    if(NOT arg_${needed})
      message(FATAL_ERROR "otp_add_diagram(${name}): ${needed} is missing; write "
        "otp_add_diagram(NAME HEADER <file> MACHINE <type> OUTPUT <file>)")
    endif()
  endforeach()
  cmake_path(ABSOLUTE_PATH arg_HEADER BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
  cmake_path(ABSOLUTE_PATH arg_OUTPUT BASE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" NORMALIZE)
  cmake_path(GET arg_OUTPUT EXTENSION LAST_ONLY extension)
  set(before "")
  set(after "")
  if(extension STREQUAL ".md")
    set(before "```mermaid\\n")
    set(after "```\\n")
  endif()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}_writer.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
#include "@arg_HEADER@"

#include <otp/gen_statem.hpp>

#include <cstdio>
#include <string>

int main(int, char** argv) {
  std::FILE* out = std::fopen(argv[1], "w");
  if (!out) return 1;
  std::string text = "@before@" + otp::diagram<@arg_MACHINE@>() + "@after@";
  bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  return std::fclose(out) == 0 && written ? 0 : 1;
}
]])
  add_executable(${name}_writer "${source}")
  target_link_libraries(${name}_writer PRIVATE otp::otp ${arg_LINK})
  add_custom_command(OUTPUT "${arg_OUTPUT}" COMMAND ${name}_writer "${arg_OUTPUT}" DEPENDS ${name}_writer
    COMMENT "Writing the diagram of ${arg_MACHINE}" VERBATIM)
  add_custom_target(${name} ALL DEPENDS "${arg_OUTPUT}")
endfunction()
