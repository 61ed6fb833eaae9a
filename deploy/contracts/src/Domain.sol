// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Messages} from "./Messages.sol";

/// @title The one EIP-712 domain of all contracts: name, version, chain and the address of Settlement.
/// @notice A signature is checked by whichever contract needs it, and keys sign for one name only.
/// @dev As OpenZeppelin's EIP712, the separator is computed at construction and again only if the
/// chain's id has changed since: after a fork, signatures hold on one side.
abstract contract Domain {
    address private immutable _verifier;
    uint256 private immutable _chainId;
    bytes32 private immutable _separator;

    constructor(address verifier) {
        _verifier = verifier;
        _chainId = block.chainid;
        _separator = Messages.domainSeparator(verifier);
    }

    function _domainSeparator() internal view returns (bytes32) {
        return block.chainid == _chainId ? _separator : Messages.domainSeparator(_verifier);
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return Messages.toSign(_domainSeparator(), structHash);
    }

    /// @dev Whether the account has signed, and who else did if not. A key's own signature counts
    /// first, even where the account has code (EIP-7702); then whatever its code accepts.
    function _isSigned(address account, bytes32 structHash, bytes calldata sig)
        internal
        view
        returns (bool, address recovered)
    {
        bytes32 digest = _digest(structHash);
        recovered = Messages.recoverAny(digest, sig);
        if (recovered == account && account != address(0)) return (true, recovered);
        if (account.code.length == 0) return (false, recovered);
        bool valid = SignatureChecker.isValidERC1271SignatureNowCalldata(account, digest, sig);
        return (valid, recovered);
    }
}
