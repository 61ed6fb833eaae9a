// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {DealTerms} from "../../src/Types.sol";

/// @notice Everybody's copy of the terms of all deals, as logs give them: the contract keeps none.
contract Book {
    mapping(bytes32 dealId => DealTerms) private _terms;

    function put(DealTerms memory terms) external returns (bytes32 dealId) {
        dealId = keccak256(abi.encode(terms));
        _terms[dealId] = terms;
    }

    function get(bytes32 dealId) external view returns (DealTerms memory) {
        return _terms[dealId];
    }
}
