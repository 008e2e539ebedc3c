# embed_text(<target> <c_symbol> <file>) compiles a text file into <target> as
#   extern const char <c_symbol>[];      (with a terminating NUL)
# so that an installed program needs no data files beside it.
function(embed_text target symbol file)
    get_filename_component(path ${file} ABSOLUTE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${hex}")
    set(out ${CMAKE_CURRENT_BINARY_DIR}/embed_${symbol}.c)
    file(CONFIGURE OUTPUT ${out} CONTENT
        "extern const char ${symbol}[];\nconst char ${symbol}[] = \"@bytes@\";\n" @ONLY)
    target_sources(${target} PRIVATE ${out})
endfunction()
