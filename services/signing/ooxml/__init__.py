"""Office Open XML package signatures: ECMA-376 part 2 (XMLDSig over an OPC package) with XAdES properties."""
